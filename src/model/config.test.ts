import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { checkLlamaConfig, ffnDim, llamaWeightShapes, type LlamaConfig } from './config.ts';

const LLAMA3_8B: LlamaConfig = {
  dim: 4096,
  numLayers: 32,
  numHeads: 32,
  numKvHeads: 8,
  headDim: 128,
  ffnDim: 14336,
  vocabSize: 128256,
  normEps: 1e-5,
  ropeTheta: 500000,
  ropeScaling: null,
  maxSeqLen: 8192,
  tiedEmbeddings: false,
};

describe('LlamaConfig', () => {
  it("derives the feed-forward size of every published model by Meta's formula", () => {
    const published = [
      [4096, 1024, 1.3, 14336], // 8B
      [8192, 4096, 1.3, 28672], // 70B
      [16384, 4096, 1.2, 53248], // 405B
      [2048, 256, 1.5, 8192], // 3.2 1B
      [3072, 256, 1.0, 8192], // 3.2 3B
      [4096, 256, null, 11008], // Llama 2 7B
    ] as const;
    for (const [dim, multipleOf, multiplier, expected] of published) {
      assert.equal(ffnDim(dim, multipleOf, multiplier), expected);
    }
  });

  it('names every weight of the 8B model: 8,030,261,248 parameters', () => {
    let total = 0;
    for (const shape of llamaWeightShapes(LLAMA3_8B).values()) total += shape.reduce((a, b) => a * b, 1);
    assert.equal(total, 8_030_261_248);
    assert.equal(llamaWeightShapes({ ...LLAMA3_8B, tiedEmbeddings: true }).has('output.weight'), false);
  });

  it('lists every impossible value in one error', () => {
    assert.equal(checkLlamaConfig(LLAMA3_8B, 'x'), LLAMA3_8B);
    const bad = { ...LLAMA3_8B, numKvHeads: 5, headDim: 3, ropeTheta: -1, normEps: Number.NaN };
    assert.throws(() => checkLlamaConfig(bad, 'params.json'), {
      code: 'E_CONFIG',
      message: /^params\.json: .*numKvHeads \(5\).*headDim.*normEps.*ropeTheta/,
    });
    assert.throws(() => checkLlamaConfig({ ...LLAMA3_8B, dim: 2 ** 60, numLayers: 0 }, 'x'), /dim .*numLayers/);
    const scaling = { factor: 8, lowFreqFactor: 4, highFreqFactor: 1, originalMaxPosition: 8192 };
    assert.throws(() => checkLlamaConfig({ ...LLAMA3_8B, ropeScaling: scaling }, 'x'), /highFreqFactor/);
  });
});
