/**
 * Runs every `*.test.ts` of the project through node:test (Node 20's runner takes no patterns). Arguments narrow the files by substring.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const FOLDERS = ['src', 'test', 'kernels', 'web'];

function testFiles(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return entries
    .filter((name) => name.endsWith('.test.ts') && !name.includes('node_modules'))
    .map((name) => join(folder, name));
}

const root = new URL('..', import.meta.url).pathname;
process.chdir(root);
const wanted = process.argv.slice(2);
const files = FOLDERS.flatMap((folder) => (readdirSync('.').includes(folder) ? testFiles(folder) : []))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .toSorted();
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(' ')}`);
  process.exit(1);
}
const { status } = spawnSync(process.execPath, ['--import', 'tsx', '--test', '--test-concurrency=2', ...files], {
  stdio: 'inherit',
});
process.exit(status ?? 1);
