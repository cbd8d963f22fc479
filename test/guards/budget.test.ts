/**
 * Sizes that keep the code readable. Raise a number only with a reason beside it.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const MAX_FILE_LINES = 500;
/** Lines of C++ that are neither blank nor comment. */
const MAX_KERNEL_CODE_LINES = 4000;
/** Files that hold long tables, with the reason. */
const LONGER: Record<string, number> = {};

const root = new URL('../../', import.meta.url).pathname;

function filesUnder(folder: string, endings: readonly string[]): string[] {
  const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  return names
    .filter(
      (name) => endings.some((ending) => name.endsWith(ending)) && !/(^|\/)(dist|node_modules|\.venv)\//.test(name),
    )
    .map((name) => join(folder, name));
}

function numLines(file: string): number {
  return readFileSync(join(root, file), 'utf8').split('\n').length - 1;
}

function numCodeLines(file: string): number {
  const lines = readFileSync(join(root, file), 'utf8').split('\n');
  return lines.filter((line) => !/^\s*(\/\/.*)?$/.test(line)).length;
}

describe('budgets', () => {
  it('keeps every source file at most 500 lines', () => {
    const files = ['src', 'kernels', 'bench', 'test'].flatMap((folder) => filesUnder(folder, ['.ts', '.cpp', '.h']));
    const long = files
      .map((file) => ({ file, lines: numLines(file) }))
      .filter(({ file, lines }) => lines > (LONGER[file] ?? MAX_FILE_LINES));
    assert.deepEqual(long, []);
  });

  it('keeps the kernel library small', () => {
    const total = filesUnder('kernels', ['.cpp', '.h']).reduce((sum, file) => sum + numCodeLines(file), 0);
    assert.ok(
      total <= MAX_KERNEL_CODE_LINES,
      `kernels/ has ${total} lines of code, the budget is ${MAX_KERNEL_CODE_LINES}`,
    );
  });

  it('keeps barrels and dumping grounds out', () => {
    const names = filesUnder('src', ['.ts']).filter((file) =>
      /\/(utils|types|helpers|common)\.ts$|\/.*\/index\.ts$/.test(file),
    );
    assert.deepEqual(names, []);
  });
});
