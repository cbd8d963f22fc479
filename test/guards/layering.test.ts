/**
 * Imports point one way: a folder of src/ may import only itself and folders above it in this list (docs/architecture.md).
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, it } from 'node:test';

const LAYERS = [
  'util',
  'tensor',
  'autodiff',
  'runtime',
  'tokenizer',
  'model',
  'formats',
  'data',
  'optim',
  'infer',
  'constrain',
  'eval',
  'train',
  'distributed',
  'planner',
  'server',
  'cli',
];
/** Runs in the browser too: nothing of Node. */
const BROWSER_FOLDERS = new Set(['tokenizer']);

const root = new URL('../../src/', import.meta.url).pathname;

function sourceFiles(): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1]!);
}

describe('layering', () => {
  it('knows every folder of src', () => {
    const folders = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    for (const { name } of folders) assert.ok(LAYERS.includes(name), `src/${name} is not in the list of layers`);
  });

  it('lets a folder import only itself and folders above it', () => {
    const wrong: string[] = [];
    for (const file of sourceFiles().filter((name) => !name.endsWith('.test.ts') && name.includes('/'))) {
      const layer = LAYERS.indexOf(file.split('/')[0]!);
      for (const target of importsOf(file).filter((name) => name.startsWith('.'))) {
        const folder = relative(root, join(root, dirname(file), target)).split('/')[0]!;
        if (LAYERS.indexOf(folder) > layer || folder === '..') wrong.push(`${file} imports ${target}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('keeps Node out of what runs in the browser', () => {
    const wrong = sourceFiles()
      .filter((file) => BROWSER_FOLDERS.has(file.split('/')[0]!) && !file.endsWith('.test.ts'))
      .filter((file) => importsOf(file).some((name) => name.startsWith('node:')));
    assert.deepEqual(wrong, []);
  });
});
