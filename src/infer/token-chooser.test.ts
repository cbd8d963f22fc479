import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { randomStream } from '../util/rng.ts';
import { checkRequest, type GenerationRequest } from './request.ts';
import type { TokenConstraint } from './token-constraint.ts';
import { TokenChooser } from './token-chooser.ts';

const VOCAB_SIZE = 70;
const GREEDY = { temperature: 0 };

function chooserOf(request: Partial<GenerationRequest>, seed = 1): TokenChooser {
  const limits = { vocabSize: VOCAB_SIZE, contextLength: 100 };
  const checked = checkRequest({ promptIds: [1, 2], sampling: GREEDY, ...request }, limits, [0]);
  return new TokenChooser(checked, randomStream(seed, 'test'));
}

/** Allows these tokens, and an end where told; the same at each step. */
function constraintOf(ids: readonly number[], canEnd: boolean): TokenConstraint {
  const mask = new Uint32Array(Math.ceil(VOCAB_SIZE / 32));
  for (const id of ids) mask[id >>> 5] = mask[id >>> 5]! | (1 << (id & 31));
  return {
    start: () => ({
      allowed: () => mask,
      canEnd: () => canEnd,
      advance: () => {},
      clone: () => constraintOf(ids, canEnd).start(),
    }),
  };
}

/** The logits after penalties and bias, by the definitions of transformers and of OpenAI, in float64. */
function adjusted(
  logits: readonly number[],
  prompt: readonly number[],
  reply: readonly number[],
  request: GenerationRequest,
) {
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = request.sampling!;
  return logits.map((logit, id) => {
    const isRepeated = prompt.includes(id) || reply.includes(id);
    const score = isRepeated ? (logit < 0 ? logit * repetitionPenalty : logit / repetitionPenalty) : logit;
    const count = reply.filter((other) => other === id).length;
    return score - count * frequencyPenalty - (count > 0 ? presencePenalty : 0) + (request.logitBias?.get(id) ?? 0);
  });
}

describe('token chooser', () => {
  it('lowers repeated tokens as Hugging Face and OpenAI define it, and adds bias', () => {
    const ids = fc.array(fc.nat(7), { minLength: 1, maxLength: 6 });
    const penalty = fc.integer({ min: -8, max: 8 }).map((quarters) => quarters / 4);
    const request = fc.record({
      promptIds: ids,
      sampling: fc.record({
        temperature: fc.constant(0),
        repetitionPenalty: fc.constantFrom(1, 0.5, 1.25, 2),
        presencePenalty: penalty,
        frequencyPenalty: penalty,
      }),
      logitBias: fc.dictionary(fc.nat(7).map(String), penalty).map((biases) => {
        return new Map(Object.entries(biases).map(([id, bias]) => [Number(id), bias]));
      }),
    });
    const logits = fc.array(fc.integer({ min: -40, max: 40 }), { minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(request, ids, logits, (one, reply, values) => {
        const chooser = chooserOf(one);
        for (const id of reply) chooser.advance(id);
        const given = Float32Array.from(values, (value) => value / 4);
        const before = given.slice();
        const expected = adjusted([...given], one.promptIds, reply, one).map(Math.fround);
        assert.equal(chooser.choose(given), expected.indexOf(Math.max(...expected)));
        assert.deepEqual(given, before); // they are not its own to change
      }),
    );
  });

  it('draws only what the constraint allows, and a stop token only where the reply may end', () => {
    const logits = Float32Array.from({ length: VOCAB_SIZE }, (_, id) => (id === 0 ? 100 : id));
    const choose = (ids: number[], canEnd: boolean, more: Partial<GenerationRequest> = {}) =>
      chooserOf({ constraint: constraintOf(ids, canEnd), ...more }).choose(logits);
    assert.equal(choose([3, 33, 40], false), 40);
    assert.equal(choose([31, 32], false), 32);
    assert.equal(choose([3, 33, 69], true), 0);
    assert.equal(choose([3, 33, 69], true, { minTokens: 1 }), 69);
    assert.equal(choose([], true), 0);
    assert.equal(choose([], true, { minTokens: 5 }), 0);
    assert.equal(choose([], true, { ignoreEos: true }), null);
    assert.equal(choose([5], true, { ignoreEos: true }), 5);
  });

  it('forbids stop tokens before the least length', () => {
    const logits = Float32Array.from([9, 1, 5]);
    const chooser = chooserOf({ minTokens: 2 });
    assert.equal(chooser.choose(logits), 2);
    chooser.advance(2);
    assert.equal(chooser.choose(logits), 2);
    chooser.advance(2);
    assert.equal(chooser.choose(logits), 0);
    assert.ok(chooser.isStop(0) && !chooser.isStop(2));
  });

  it('guesses with a copy without moving itself', () => {
    const logits = Float32Array.from({ length: VOCAB_SIZE }, (_, id) => Math.sin(id));
    const request = { sampling: { temperature: 1, topP: 1, frequencyPenalty: 2, repetitionPenalty: 1.5 } };
    const chooser = chooserOf(request);
    const copy = chooser.clone();
    const ahead = [0, 1, 2, 3].map(() => {
      const id = copy.choose(logits)!;
      copy.advance(id);
      return id;
    });
    const own = ahead.map(() => {
      const id = chooser.choose(logits)!;
      chooser.advance(id);
      return id;
    });
    assert.deepEqual(own, ahead);
    assert.ok(new Set(own).size > 1);
  });
});
