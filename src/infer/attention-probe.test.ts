import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LlamaConfig } from '../model/config.ts';
import { fillNormal, randomStream } from '../util/rng.ts';
import { attentionPattern } from './attention-probe.ts';
import { nextTokens } from './next-token-probe.ts';
import { testBackends, TOY_CONFIG, toyModel, toyPrompt } from './toy-model.ts';

/** Weights as `toyModel` draws them. */
function weight(name: string, rows: number, columns: number): Float64Array[] {
  const values = new Float32Array(rows * columns);
  fillNormal(values, randomStream(5, name), { std: name === 'tok_embeddings.weight' ? 0.3 : 0.2 });
  return Array.from({ length: rows }, (_, row) =>
    Float64Array.from(values.subarray(row * columns, (row + 1) * columns)),
  );
}

const times = (w: Float64Array[], x: Float64Array) =>
  Float64Array.from(w, (row) => row.reduce((sum, value, i) => sum + value * x[i]!, 0));
const plus = (a: Float64Array, b: Float64Array) => a.map((value, i) => value + b[i]!);

function normalised(x: Float64Array): Float64Array {
  const meanSquare = x.reduce((sum, value) => sum + value * value, 0) / x.length;
  return x.map((value) => value / Math.sqrt(meanSquare + TOY_CONFIG.normEps));
}

/** Rotates pair i of one head by position * theta^(-2i / E). */
function rotated(x: Float64Array, position: number, { headDim, ropeTheta }: LlamaConfig): Float64Array {
  const out = x.slice();
  for (let at = 0; at < x.length; at += 2) {
    const angle = position * ropeTheta ** (-(at % headDim) / headDim);
    const [a, b] = [x[at]!, x[at + 1]!];
    out[at] = a * Math.cos(angle) - b * Math.sin(angle);
    out[at + 1] = a * Math.sin(angle) + b * Math.cos(angle);
  }
  return out;
}

/** The toy model in plain float64 loops: probabilities of every layer and head, and the last hidden states. */
function forward(ids: readonly number[]): { patterns: number[][][][]; logits: Float64Array } {
  const config = TOY_CONFIG;
  const { dim, ffnDim, numHeads, numKvHeads, headDim } = config;
  const table = weight('tok_embeddings.weight', config.vocabSize, dim);
  let stream = ids.map((id) => table[id]!);
  const patterns: number[][][][] = [];
  for (let layer = 0; layer < config.numLayers; layer++) {
    const get = (name: string, rows: number, columns: number) =>
      weight(`layers.${layer}.${name}.weight`, rows, columns);
    const [wq, wk, wv, wo] = [
      get('attention.wq', dim, dim),
      get('attention.wk', numKvHeads * headDim, dim),
      get('attention.wv', numKvHeads * headDim, dim),
      get('attention.wo', dim, dim),
    ];
    const x = stream.map(normalised);
    const q = x.map((row, position) => rotated(times(wq, row), position, config));
    const k = x.map((row, position) => rotated(times(wk, row), position, config));
    const v = x.map((row) => times(wv, row));
    const mixed = ids.map(() => new Float64Array(dim));
    const heads: number[][][] = [];
    for (let head = 0; head < numHeads; head++) {
      const [qStart, kvStart] = [head * headDim, Math.floor((head * numKvHeads) / numHeads) * headDim];
      heads[head] = ids.map((_, row) => {
        const weights = ids.map((__, column) => {
          if (column > row) return 0;
          let score = 0;
          for (let e = 0; e < headDim; e++) score += q[row]![qStart + e]! * k[column]![kvStart + e]!;
          return Math.exp(score / Math.sqrt(headDim));
        });
        const total = weights.reduce((a, b) => a + b);
        return weights.map((value) => value / total);
      });
      for (const [row, shares] of heads[head]!.entries())
        for (const [column, share] of shares.entries())
          for (let e = 0; e < headDim; e++)
            mixed[row]![qStart + e] = mixed[row]![qStart + e]! + share * v[column]![kvStart + e]!;
    }
    patterns.push(heads);
    const [w1, w2, w3] = [
      get('feed_forward.w1', ffnDim, dim),
      get('feed_forward.w2', dim, ffnDim),
      get('feed_forward.w3', ffnDim, dim),
    ];
    stream = stream.map((row, i) => {
      const h = plus(row, times(wo, mixed[i]!));
      const y = normalised(h);
      const up = times(w3, y);
      return plus(
        h,
        times(
          w2,
          times(w1, y).map((gate, j) => (gate / (1 + Math.exp(-gate))) * up[j]!),
        ),
      );
    });
  }
  return { patterns, logits: times(table, normalised(stream.at(-1)!)) };
}

const IDS = toyPrompt(70); // more than one block of keys
const EXPECTED = forward(IDS);
const TOLERANCE = 1e-4;

for (const [name, createBackend] of testBackends()) {
  describe(`looking inside a model (${name})`, () => {
    it('gives the attention probabilities of every layer and head', async () => {
      const model = toyModel(createBackend());
      for (let layer = 0; layer < TOY_CONFIG.numLayers; layer++) {
        for (let head = 0; head < TOY_CONFIG.numHeads; head++) {
          const pattern = await attentionPattern(model, IDS, { layer, head });
          const expected = EXPECTED.patterns[layer]![head]!.flat();
          const worst = Math.max(...expected.map((value, i) => Math.abs(value - pattern[i]!)));
          assert.ok(worst < TOLERANCE, `layer ${layer} head ${head} is off by ${worst}`);
        }
      }
    });

    it('gives the likeliest next tokens with their probabilities', async () => {
      const { candidates, entropyBits } = await nextTokens(toyModel(createBackend()), IDS, 5);
      const weights = EXPECTED.logits.map(Math.exp);
      const total = weights.reduce((a, b) => a + b);
      const shares = Array.from(weights, (value, id) => ({ id, probability: value / total }));
      const best = shares.toSorted((a, b) => b.probability - a.probability).slice(0, 5);
      assert.deepEqual(
        candidates.map(({ id }) => id),
        best.map(({ id }) => id),
      );
      for (const [i, { probability }] of best.entries())
        assert.ok(Math.abs(candidates[i]!.probability - probability) < TOLERANCE);
      const entropy = -shares.reduce((sum, { probability: p }) => sum + p * Math.log2(p), 0);
      assert.ok(Math.abs(entropyBits - entropy) < 1e-3);
    });
  });
}

describe('asking for what a model does not have', () => {
  const model = toyModel([...testBackends().values()][0]!());

  it('names the layers and heads there are', async () => {
    await assert.rejects(
      attentionPattern(model, [1, 2], { layer: 2, head: 0 }),
      /layer must be .* from 0 to 1 .* got 2/,
    );
    await assert.rejects(
      attentionPattern(model, [1, 2], { layer: 0, head: 1.5 }),
      /head must be .* from 0 to 5 .* got 1.5/,
    );
  });

  it('refuses an empty text and one that is too long', async () => {
    await assert.rejects(nextTokens(model, [], 5), /the prompt is empty/);
    await assert.rejects(nextTokens(model, toyPrompt(300), 5), /300 tokens do not fit in the context of 256/);
  });
});
