/**
 * cria as a program imports it: the example runs, and the built JavaScript offers what the sources do.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { loadEngine } from '../src/index.ts';
import * as cria from '../src/index.ts';
import { writeTinyModel } from './tiny-model.ts';

const root = new URL('..', import.meta.url).pathname;
const isBuilt = existsSync(join(root, 'dist/index.js'));

/** What a process of its own writes to stdout. */
async function outputOf(...args: string[]): Promise<string> {
  return (await promisify(execFile)(process.execPath, args, { cwd: root })).stdout;
}

describe('cria as a library', () => {
  it('streams the same text from the example as from an engine here', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cria-library-'));
    const model = join(folder, 'model');
    await writeTinyModel(model);
    const { engine, tokenizer, contextLength, stopIds, dispose } = await loadEngine(model, { contextLength: 100 });
    assert.equal(contextLength, 100);
    const reply = engine.generate({
      promptIds: tokenizer.encode('the', { bos: tokenizer.roles.addsBos }),
      stopIds,
      maxTokens: 60,
      sampling: { temperature: 0.8, minP: 0.05 },
      seed: 1,
    });
    const { text } = await reply.result;
    await dispose();
    const example = ['--import', 'tsx', '--conditions', 'cria-source', 'examples/generate.ts', model, 'the'];
    assert.equal(await outputOf(...example), text);
    rmSync(folder, { recursive: true });
  });

  it('offers the same names built as from the sources', { skip: isBuilt ? false : 'dist/ is not built' }, async () => {
    const script = "import * as cria from 'cria'; console.log(JSON.stringify(Object.keys(cria).sort()))";
    const names = JSON.parse(await outputOf('--input-type=module', '-e', script)) as string[];
    assert.deepEqual(names, Object.keys(cria).toSorted(), 'dist/ is old; run: npm run build:library');
  });

  it('encodes on threads of its own when built', { skip: isBuilt ? false : 'dist/ is not built' }, async () => {
    const script = `
      import { openTokenizerPool } from './dist/index.js';
      const pool = await openTokenizerPool('test/fixtures/tokenizer/vocabulary', 2);
      const texts = ['hay ', 'llama '].map((word) => word.repeat(2 ** 18));
      const ids = await pool.encode(texts);
      console.log(ids.every((some, i) => String(some) === String(pool.tokenizer.encodeToUint32(texts[i]))));
      await pool.close();`;
    assert.equal(await outputOf('--input-type=module', '--eval', script), 'true\n');
  });
});
