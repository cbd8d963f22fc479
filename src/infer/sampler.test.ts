import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FormatError } from '../util/errors.ts';
import { fillNormal, randomStream } from '../util/rng.ts';
import { expNegative } from './exp-negative.ts';
import { largestIds } from './rank-prefix.ts';
import { type Logits, mostLikely, sampleToken } from './sampler.ts';
import { DEFAULT_SAMPLING, type SamplingParams } from './sampling-params.ts';

const stream = randomStream(7, 'test');
const NEUTRAL: SamplingParams = { ...DEFAULT_SAMPLING, temperature: 1, topP: 1 };

type Ranked = { id: number; logit: number; p: number }[];

function normalised(tokens: Ranked): Ranked {
  const total = tokens.reduce((sum, { p }) => sum + p, 0);
  return tokens.map((token) => ({ ...token, p: token.p / total }));
}

/** Tokens up to the one before which the share `p` is reached; `isStrict` leaves out one that begins exactly there. */
function prefixOfMass(tokens: Ranked, mass: number, isStrict: boolean): Ranked {
  let before = 0;
  return tokens.filter(({ p }, i) => {
    const isKept = i === 0 || (isStrict ? before < mass : before <= mass);
    before += p;
    return isKept;
  });
}

/**
 * Sorted, summed, cut, and renormalised after each step: what the parameters mean, as Meta's sample_top_p and transformers' TopKLogitsWarper,
 * MinPLogitsWarper and TypicalLogitsWarper write it. Probabilities of the kept tokens by id.
 */
function keptByDefinition(logits: ArrayLike<number>, params: SamplingParams): Map<number, number> {
  const { temperature, topK, topP, minP, typicalP } = params;
  const largest = Math.max(...Array.from(logits));
  let tokens: Ranked = Array.from(logits, (logit, id) => ({ id, logit, p: Math.exp((logit - largest) / temperature) }));
  tokens.sort((a, b) => b.logit - a.logit || a.id - b.id);
  tokens = normalised(tokens.slice(0, topK ?? tokens.length));
  tokens = normalised(prefixOfMass(tokens, topP, false));
  tokens = normalised(tokens.filter(({ p }) => p >= minP * tokens[0]!.p));
  if (typicalP < 1) {
    const entropy = tokens.reduce((sum, { p }) => sum - (p > 0 ? p * Math.log(p) : 0), 0);
    const distance = ({ p }: Ranked[0]) => Math.abs(-Math.log(p) - entropy);
    const nearest = tokens.toSorted((a, b) => distance(a) - distance(b));
    const last = prefixOfMass(nearest, typicalP, true).at(-1)!;
    tokens = normalised(nearest.filter((token) => distance(token) <= distance(last) + 1e-12));
  }
  return new Map(tokens.map(({ id, p }) => [id, p]));
}

function randomLogits(length: number, std: number, name: string): Float32Array {
  const logits = new Float32Array(length);
  fillNormal(logits, randomStream(3, name), { std });
  return logits;
}

function drawn(logits: Logits, params: SamplingParams, count: number): Map<number, number> {
  const counts = new Map<number, number>();
  for (let i = 0; i < count; i++) {
    const id = sampleToken(logits, params, stream, i);
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}

describe('sampler', () => {
  it('draws every token as often as the definitions of its steps say', () => {
    const cases: Partial<SamplingParams>[] = [
      {},
      { temperature: 0.6, topP: 0.9 },
      { temperature: 1.5, topK: 5 },
      { topK: 8, topP: 0.7 },
      { temperature: 2, topK: 100, topP: 0.5 },
      { minP: 0.1 },
      { temperature: 2, minP: 0.02, topP: 0.95 },
      { typicalP: 0.6 },
      { temperature: 1.3, topK: 20, topP: 0.9, minP: 0.01, typicalP: 0.8 },
    ];
    const logits = randomLogits(40, 2, 'shape');
    const draws = 20_000;
    for (const chosen of cases) {
      const params = { ...NEUTRAL, ...chosen };
      const expected = keptByDefinition(logits, params);
      const counts = drawn(logits, params, draws);
      for (const id of counts.keys()) assert.ok(expected.has(id), `token ${id} with ${JSON.stringify(chosen)}`);
      for (const [id, p] of expected) {
        const deviations = ((counts.get(id) ?? 0) - draws * p) / Math.sqrt(draws * p * (1 - p) + 1e-9);
        assert.ok(p > 1 - 1e-9 || Math.abs(deviations) < 5, `token ${id} is off by ${deviations} standard deviations`);
      }
    }
  });

  it('keeps exactly the tokens that a sort of the vocabulary keeps', () => {
    const share = fc.double({ min: 0.01, max: 1, noNaN: true });
    const params = fc.record({
      temperature: fc.double({ min: 0.1, max: 3, noNaN: true }),
      topK: fc.option(fc.integer({ min: 1, max: 60 }), { nil: null }),
      topP: share,
      minP: fc.constantFrom(0, 0.001, 0.05, 0.3),
      typicalP: fc.oneof(fc.constant(1), share),
    });
    // Few distinct values: most logits tie with others.
    const logits = fc.array(fc.oneof(fc.integer({ min: -6, max: 6 }), fc.constant(-Infinity)), {
      minLength: 1,
      maxLength: 50,
    });
    fc.assert(
      fc.property(logits, params, fc.nat(1e6), (values, chosen, counter) => {
        fc.pre(values.some((value) => value > -Infinity));
        const sampling = { ...NEUTRAL, ...chosen };
        const id = sampleToken(Float32Array.from(values), sampling, stream, counter);
        // A token whose share before it equals a limit up to rounding may fall on either side.
        const near = [0, 1e-9, -1e-9].some((off) => {
          const { topP, minP, typicalP } = sampling;
          const moved = { topP: Math.min(1, topP + off), minP: minP + off / 10, typicalP: Math.min(1, typicalP + off) };
          return keptByDefinition(values, { ...sampling, ...moved }).has(id);
        });
        assert.ok(near, `token ${id}`);
        assert.ok(values[id]! > -Infinity);
      }),
      { numRuns: 500 },
    );
  });

  it('takes the most likely token, the first of equal ones, at temperature 0, top-k 1 or top-p 0', () => {
    const logits = Float32Array.from([1, 5, -Infinity, 5, 2]);
    for (const params of [{ temperature: 0 }, { topK: 1 }, { topP: 0 }, { minP: 1, topK: 3, topP: 0.1 }]) {
      assert.equal(sampleToken(logits, { ...NEUTRAL, ...params }, stream, 0), 1);
    }
  });

  it('depends on the stream and the counter alone', () => {
    const logits = randomLogits(1000, 1, 'flat');
    const params = { ...NEUTRAL, topP: 0.95 };
    const draws = (seed: number) =>
      Array.from({ length: 20 }, (_, i) => sampleToken(logits, params, randomStream(seed, 's'), i));
    assert.deepEqual(draws(1), draws(1));
    assert.notDeepEqual(draws(1), draws(2));
  });

  it('gives like tokens for like distributions and the same random number', () => {
    const logits = randomLogits(1000, 3, 'large');
    const near = logits.map((logit, id) => logit + 0.05 * Math.sin(id));
    const params = { ...NEUTRAL, temperature: 0.7, topP: 0.9 };
    let numSame = 0;
    for (let i = 0; i < 500; i++) {
      if (sampleToken(logits, params, stream, i) === sampleToken(near, params, stream, i)) numSame++;
    }
    assert.ok(numSame > 400, `${numSame} of 500`);
  });

  it('handles a vocabulary of Llama 3 whose logits are all equal, and masked ones', () => {
    const logits = new Float32Array(128_256);
    assert.ok(sampleToken(logits, { ...NEUTRAL, topP: 0.9 }, stream, 0) < 128_256 * 0.9 + 1);
    assert.ok(sampleToken(logits, { ...NEUTRAL, topK: 50 }, stream, 1) < 50);
    logits.fill(-Infinity);
    logits[77_777] = -3;
    assert.equal(sampleToken(logits, { ...NEUTRAL, temperature: 2, topK: 50, topP: 0.9 }, stream, 2), 77_777);
  });

  it('finds the first of the largest logits in vocabularies of any size', () => {
    const logit = fc.integer({ min: -3, max: 3 });
    fc.assert(
      fc.property(fc.array(logit, { minLength: 1, maxLength: 40 }), (logits) => {
        assert.equal(mostLikely(Float32Array.from(logits)), logits.indexOf(Math.max(...logits)));
      }),
    );
  });

  it('refuses logits that are no numbers', () => {
    for (let place = 0; place < 20; place++) {
      const logits = Float32Array.from({ length: 20 }, (_, i) => (i === place ? NaN : i % 7));
      assert.throws(() => mostLikely(logits), FormatError);
    }
    for (const values of [
      [1, NaN, 2],
      [NaN, 1],
      [3, NaN],
      [-Infinity, -Infinity],
      [1, Infinity],
    ]) {
      assert.throws(() => sampleToken(Float32Array.from(values), { ...NEUTRAL, topP: 0.9 }, stream, 0), FormatError);
    }
  });
});

const by = (a: number, b: number) => a - b;

describe('largestIds', () => {
  it('finds what a sort finds, the lowest ids of equal values', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -5, max: 5 }), { maxLength: 60 }), fc.nat(70), (values, count) => {
        const heap = new Int32Array(60);
        const found = [...heap.subarray(0, largestIds(values, count, heap))];
        const sorted = values.map((_, id) => id).toSorted((a, b) => values[b]! - values[a]! || a - b);
        assert.deepEqual(found.toSorted(by), sorted.slice(0, count).toSorted(by));
        if (found.length > 0) assert.equal(found[0], sorted[found.length - 1]);
      }),
    );
  });
});

describe('expNegative', () => {
  it('is e^-x to ten digits', () => {
    for (let x = 0; x < 690; x += 0.0371) assert.ok(Math.abs(expNegative(x) / Math.exp(-x) - 1) < 1e-10, String(x));
    assert.equal(expNegative(0), 1);
    assert.equal(expNegative(Infinity), 0);
  });
});
