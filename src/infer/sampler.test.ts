import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ConfigError, FormatError } from '../util/errors.ts';
import { fillNormal, randomStream } from '../util/rng.ts';
import { expNegative } from './exp-negative.ts';
import { type Logits, sampleToken as sample } from './sampler.ts';
import { checkSampling as check, DEFAULT_SAMPLING, type SamplingParams as AllParams } from './sampling-params.ts';

const stream = randomStream(7, 'test');

type SamplingParams = Pick<AllParams, 'temperature' | 'topK' | 'topP'>;
const sampleToken = (logits: Logits, params: SamplingParams, from: typeof stream, counter: number) =>
  sample(logits, { ...DEFAULT_SAMPLING, ...params }, from, counter);
const checkSampling = (params: SamplingParams) => check({ ...DEFAULT_SAMPLING, ...params });

/** Sorted, summed, cut: what top-k and top-p mean, as Meta's sample_top_p writes it. Probabilities of the kept tokens by id. */
function keptByDefinition(logits: ArrayLike<number>, { temperature, topK, topP }: SamplingParams): Map<number, number> {
  const largest = Math.max(...Array.from(logits));
  const ranked = Array.from(logits, (logit, id) => ({ id, logit, p: Math.exp((logit - largest) / temperature) }));
  ranked.sort((a, b) => b.logit - a.logit || a.id - b.id);
  const top = ranked.slice(0, topK ?? ranked.length);
  const total = top.reduce((sum, { p }) => sum + p, 0);
  const kept = new Map<number, number>();
  let before = 0;
  for (const { id, p } of top) {
    if (before / total > topP) break;
    kept.set(id, p);
    before += p;
  }
  for (const [id, p] of kept) kept.set(id, p / before);
  return kept;
}

function randomLogits(length: number, std: number, name: string): Float32Array {
  const logits = new Float32Array(length);
  fillNormal(logits, randomStream(3, name), { std });
  return logits;
}

function drawn(logits: Float32Array, params: SamplingParams, count: number): Map<number, number> {
  const counts = new Map<number, number>();
  for (let i = 0; i < count; i++) {
    const id = sampleToken(logits, params, stream, i);
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}

describe('sampler', () => {
  it('draws every token as often as the definition of temperature, top-k and top-p says', () => {
    const cases: SamplingParams[] = [
      { temperature: 1, topK: null, topP: 1 },
      { temperature: 0.6, topK: null, topP: 0.9 },
      { temperature: 1.5, topK: 5, topP: 1 },
      { temperature: 1, topK: 8, topP: 0.7 },
      { temperature: 2, topK: 100, topP: 0.5 },
    ];
    const logits = randomLogits(40, 2, 'shape');
    const draws = 20_000;
    for (const params of cases) {
      const expected = keptByDefinition(logits, params);
      const counts = drawn(logits, params, draws);
      for (const id of counts.keys())
        assert.ok(expected.has(id), `token ${id} was drawn though ${JSON.stringify(params)}`);
      for (const [id, p] of expected) {
        const deviations = ((counts.get(id) ?? 0) - draws * p) / Math.sqrt(draws * p * (1 - p) + 1e-9);
        assert.ok(p === 1 || Math.abs(deviations) < 5, `token ${id} is off by ${deviations} standard deviations`);
      }
    }
  });

  it('keeps exactly the tokens that a sort of the vocabulary keeps', () => {
    const params = fc.record({
      temperature: fc.double({ min: 0.1, max: 3, noNaN: true }),
      topK: fc.option(fc.integer({ min: 1, max: 60 }), { nil: null }),
      topP: fc.double({ min: 0.01, max: 1, noNaN: true }),
    });
    // Few distinct values: most logits tie with others.
    const logits = fc.array(fc.oneof(fc.integer({ min: -6, max: 6 }), fc.constant(-Infinity)), {
      minLength: 1,
      maxLength: 50,
    });
    fc.assert(
      fc.property(logits, params, fc.nat(1e6), (values, sampling, counter) => {
        fc.pre(values.some((value) => value > -Infinity));
        const kept = keptByDefinition(values, sampling);
        const id = sampleToken(Float32Array.from(values), sampling, stream, counter);
        // A token whose share before it equals top-p up to rounding may fall on either side.
        const looser = keptByDefinition(values, { ...sampling, topP: Math.min(1, sampling.topP + 1e-9) });
        assert.ok(kept.has(id) || looser.has(id));
        assert.ok(values[id]! > -Infinity);
      }),
    );
  });

  it('takes the most likely token, the first of equal ones, at temperature 0, top-k 1 or top-p 0', () => {
    const logits = Float32Array.from([1, 5, -Infinity, 5, 2]);
    for (const params of [
      { temperature: 0, topK: null, topP: 1 },
      { temperature: 1, topK: 1, topP: 1 },
      { temperature: 1, topK: null, topP: 0 },
    ]) {
      assert.equal(sampleToken(logits, params, stream, 0), 1);
    }
  });

  it('depends on the stream and the counter alone', () => {
    const logits = randomLogits(1000, 1, 'flat');
    const params = { temperature: 1, topK: null, topP: 0.95 };
    const draws = (seed: number) =>
      Array.from({ length: 20 }, (_, i) => sampleToken(logits, params, randomStream(seed, 's'), i));
    assert.deepEqual(draws(1), draws(1));
    assert.notDeepEqual(draws(1), draws(2));
  });

  it('handles a vocabulary of Llama 3 whose logits are all equal, and masked ones', () => {
    const logits = new Float32Array(128_256);
    assert.ok(sampleToken(logits, { temperature: 1, topK: null, topP: 0.9 }, stream, 0) < 128_256 * 0.9 + 1);
    assert.ok(sampleToken(logits, { temperature: 1, topK: 50, topP: 1 }, stream, 1) < 50);
    logits.fill(-Infinity);
    logits[77_777] = -3;
    assert.equal(sampleToken(logits, { temperature: 2, topK: 50, topP: 0.9 }, stream, 2), 77_777);
  });

  it('refuses logits that are no numbers', () => {
    const params = { temperature: 1, topK: null, topP: 0.9 };
    for (const values of [
      [1, NaN, 2],
      [NaN, 1],
      [3, NaN],
      [-Infinity, -Infinity],
      [1, Infinity],
    ]) {
      assert.throws(() => sampleToken(Float32Array.from(values), params, stream, 0), FormatError);
    }
  });

  it('refuses impossible parameters by name', () => {
    const good = { temperature: 1, topK: null, topP: 1 };
    assert.throws(() => checkSampling({ ...good, temperature: -1 }), { name: 'ConfigError', message: /temperature/ });
    assert.throws(() => checkSampling({ ...good, temperature: NaN }), ConfigError);
    assert.throws(() => checkSampling({ ...good, topK: 0 }), { message: /top-k/ });
    assert.throws(() => checkSampling({ ...good, topP: 1.1 }), { message: /top-p/ });
  });
});

describe('expNegative', () => {
  it('is e^-x to ten digits', () => {
    for (let x = 0; x < 690; x += 0.0371) assert.ok(Math.abs(expNegative(x) / Math.exp(-x) - 1) < 1e-10, String(x));
    assert.equal(expNegative(0), 1);
    assert.equal(expNegative(Infinity), 0);
  });
});
