/**
 * Cached decoding against Meta's own code (test/fixtures/meta-tiny): the same two rows in the same chunks, prefill 5, then 3, then one by one.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openSafetensors } from '../../src/formats/safetensors.ts';
import { loadModel } from '../../src/infer/model.ts';
import { ModelRunner } from '../../src/infer/model-runner.ts';
import { testBackends } from '../../src/infer/toy-model.ts';
import type { Backend } from '../../src/runtime/backend.ts';
import { assertClose } from '../support.ts';
import { config, readFixture } from './meta-tiny.ts';

const NUM_ROWS = 2;
const CHUNK_SIZES = [5, 3];
const ROW_BLOCKS = [
  [0, 1],
  [2, 3],
];

/** Logits of all tokens of both rows, [rows, tokens, vocab], the rows computed together. */
async function cachedLogits(backend: Backend, tokens: Int32Array): Promise<Float32Array> {
  const weights = await openSafetensors(new URL('../fixtures/meta-tiny/model.safetensors', import.meta.url).pathname);
  const options = { weightType: 'f32', kvType: 'f32', contextLength: config.maxSeqLen, batch: NUM_ROWS } as const;
  const runner = new ModelRunner(await loadModel({ config, weights }, backend, options));
  await weights.close();
  const rowLength = tokens.length / NUM_ROWS;
  const logits = new Float32Array(tokens.length * config.vocabSize);
  for (let start = 0, step = 0; start < rowLength; step++) {
    const size = CHUNK_SIZES[step] ?? 1;
    const chunks = ROW_BLOCKS.map((blockIds, row) => {
      const first = row * rowLength + start;
      return { ids: tokens.subarray(first, first + size), startPos: start, blockIds, logits: 'all' } as const;
    });
    for (const [row, part] of (await runner.run(chunks)).entries()) {
      logits.set(part, (row * rowLength + start) * config.vocabSize);
    }
    start += size;
  }
  return logits;
}

describe("cached decoding gives Meta's logits within 1e-4", () => {
  for (const [name, open] of testBackends()) {
    it(`on the ${name} backend`, async () => {
      const golden = await readFixture('logits.safetensors');
      const logits = await cachedLogits(open(), golden.get('tokens') as Int32Array);
      assertClose(logits, golden.get('logits_cached')!, { atol: 1e-4 }, 'logits_cached');
      assert.equal(logits.length, 2 * 24 * 384);
    });
  }
});
