/**
 * Random requests on random engines: every reply is the one it gets alone on a plain engine, and no block is lost.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Engine, type EngineOptions } from './engine.ts';
import type { GenerationResult } from './generation.ts';
import { ModelDrafter } from './model-drafter.ts';
import { NgramDrafter } from './ngram-drafter.ts';
import type { GenerationRequest } from './request.ts';
import { expectedHidden, expectedLogits, expectedReply, StandIn, VOCAB_SIZE } from './stand-in-runner.ts';
import type { ConstraintState, TokenConstraint } from './token-constraint.ts';

const CONTEXT = 96;
const FLAT = { temperature: 1, topP: 1 };

/** Allows tokens whose remainder by 3 goes round, and an end after every second token. */
const ROUND_ABOUT: TokenConstraint = { start: () => roundAbout(0) };

function roundAbout(numTokens: number): ConstraintState {
  const mask = new Uint32Array(Math.ceil(VOCAB_SIZE / 32));
  for (let id = numTokens % 3; id < VOCAB_SIZE; id += 3) mask[id >>> 5]! |= 1 << (id & 31);
  return {
    allowed: () => mask,
    canEnd: () => numTokens % 2 === 0,
    advance(id) {
      assert.equal(id % 3, numTokens % 3);
      Object.assign(this, roundAbout(numTokens + 1));
    },
    clone: () => roundAbout(numTokens),
  };
}

/** Prompts that begin alike: whole blocks of one of two tokens, then some of their own. */
const prompt = fc
  .record({
    blocks: fc.array(fc.nat(1), { maxLength: 3 }),
    rest: fc.array(fc.nat(VOCAB_SIZE - 1), { minLength: 1, maxLength: 20 }),
  })
  .map(({ blocks, rest }) => [blocks.map((id) => Array.from({ length: 16 }, () => id)), rest].flat(2));

const sampling = fc.constantFrom(
  { temperature: 0 },
  FLAT,
  { temperature: 0.3, topK: 20, topP: 0.9, minP: 0.05, typicalP: 0.9 },
  { ...FLAT, repetitionPenalty: 1.3, presencePenalty: 0.5, frequencyPenalty: 0.7 },
);

const request = fc.record({
  promptIds: prompt,
  maxTokens: fc.integer({ min: 1, max: 24 }),
  seed: fc.nat(5),
  sampling,
  stopIds: fc.constantFrom([], [3, 7, 20]),
  minTokens: fc.constantFrom(0, 0, 4),
  logprobs: fc.constantFrom(null, 0, 3),
  promptLogprobs: fc.constantFrom(null, null, 2),
  logitBias: fc.constantFrom(new Map<number, number>(), new Map([[3, 2.5]]), new Map([[9, -Infinity]])),
  constraint: fc.constantFrom(null, null, ROUND_ABOUT),
});

const company = fc.record({
  requests: fc.array(fc.record({ request, n: fc.constantFrom(1, 1, 2, 4), leaveAfter: fc.option(fc.nat(6)) }), {
    minLength: 1,
    maxLength: 6,
  }),
  maxNumSequences: fc.integer({ min: 1, max: 6 }),
  maxNumBatchedTokens: fc.integer({ min: 1, max: 80 }),
  numBlocks: fc.integer({ min: 6, max: 20 }),
  prefixCache: fc.boolean(),
  drafter: fc.constantFrom('none', 'n-gram', 'model', 'another model'),
});

function drafterOf(kind: string) {
  if (kind === 'n-gram') return new NgramDrafter(6);
  if (kind === 'none') return null;
  const runner = new StandIn({ contextLength: CONTEXT, numBlocks: 8, salt: kind === 'model' ? 0 : 5 });
  return new ModelDrafter(runner, { maxDraftTokens: 4, vocabSize: VOCAB_SIZE });
}

async function alone(one: GenerationRequest, n: number): Promise<GenerationResult[]> {
  const engine = new Engine(new StandIn({ contextLength: CONTEXT, numBlocks: 100 }), null, { prefixCache: false });
  return Promise.all(engine.generateMany(one, n).map(({ result }) => result));
}

/** All that does not tell of times and luck. */
function essence({
  text,
  ids,
  finishReason,
  stopId,
  stopLogprobs,
  promptTokens,
  logprobs,
  promptLogprobs,
}: GenerationResult) {
  return { text, ids, finishReason, stopId, stopLogprobs, promptTokens, logprobs, promptLogprobs };
}

describe('an engine under any load', () => {
  it('gives every reply as if it were alone, whatever is shared, cached, guessed, preempted or cancelled', async () => {
    await fc.assert(
      fc.asyncProperty(company, async ({ requests, drafter, numBlocks, ...limits }) => {
        const options: EngineOptions = { ...limits, drafter: drafterOf(drafter) };
        const engine = new Engine(new StandIn({ contextLength: CONTEXT, numBlocks }), null, options);
        const checks = requests.map(async ({ request: one, n, leaveAfter }) => {
          const expected = await alone(one, n);
          const replies = engine.generateMany(one, n);
          const results = replies.map(async (reply, i) => {
            if (leaveAfter === null || i > 0)
              return assert.deepEqual(essence(await reply.result), essence(expected[i]!));
            let numTokens = 0;
            for await (const { id } of reply) {
              if (id !== null) assert.equal(id, expected[i]!.ids[numTokens++]);
              if (numTokens > leaveAfter) break;
            }
          });
          await Promise.all(results);
          engine.checkInvariants();
        });
        await Promise.all(checks);
        engine.checkInvariants();
        const { numRunning, numWaiting, kvBlocksUsed } = engine.stats();
        assert.deepEqual([numRunning, numWaiting, kvBlocksUsed], [0, 0, 0]);
        await engine.dispose();
      }),
      { numRuns: 40 },
    );
  });

  it('embeds texts beside requests that generate', async () => {
    const text = fc.array(fc.nat(VOCAB_SIZE - 1), { minLength: 1, maxLength: CONTEXT });
    await fc.assert(
      fc.asyncProperty(
        fc.array(text, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 6, max: 20 }),
        async (texts, numBlocks) => {
          const engine = new Engine(new StandIn({ contextLength: CONTEXT, numBlocks }), null, {
            maxNumBatchedTokens: 50,
          });
          const reply = engine.generate({
            promptIds: [1, 2, 3],
            maxTokens: 20,
            sampling: { temperature: 0 },
            stopIds: [],
          });
          const embeddings = await Promise.all(texts.map((ids) => engine.embed(ids)));
          for (const [i, ids] of texts.entries()) {
            const rows = expectedHidden(ids);
            const mean = [0, 1].map((at) => Math.fround(rows.reduce((sum, row) => sum + row[at]!, 0) / ids.length));
            assert.deepEqual([...embeddings[i]!], mean);
          }
          assert.deepEqual((await reply.result).ids, expectedReply([1, 2, 3], 20));
          engine.checkInvariants();
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe('guesses', () => {
  it('are taken where they are right: all of those of the same model, and repetitions', async () => {
    const one = { promptIds: [5, 6, 7], maxTokens: 40, sampling: { temperature: 0 }, stopIds: [] };
    const same = new Engine(new StandIn(), null, { drafter: drafterOf('model') });
    const { speculation, ids } = await same.generate(one).result;
    assert.deepEqual(ids, expectedReply(one.promptIds, 40));
    assert.ok(speculation.drafted > 0);
    const repeating = { ...one, logitBias: new Map([[11, 100]]) };
    const lookup = new Engine(new StandIn(), null, { drafter: new NgramDrafter(5) });
    const repeated = await lookup.generate(repeating).result;
    assert.deepEqual(new Set(repeated.ids), new Set([11]));
    const { drafted, accepted } = repeated.speculation;
    assert.ok(accepted > 25 && drafted - accepted <= 6, `${accepted} of ${drafted}`);
    assert.equal(lookup.stats().acceptedTokens, accepted);
    assert.ok(lookup.stats().steps < 20, `${lookup.stats().steps} steps`);
  });

  it('leave the distribution of tokens as the model has it: chi-square of the third token of 2,000 replies', async () => {
    const draws = 2000;
    const promptIds = [8, 8, 1];
    const engine = new Engine(new StandIn({ contextLength: 64, numBlocks: 64 }), null, {
      drafter: drafterOf('another model'),
      maxNumSequences: 4,
    });
    const observed = new Float64Array(VOCAB_SIZE);
    for (let seed = 0; seed < 8; seed++) {
      const replies = engine.generateMany({ promptIds, maxTokens: 4, seed, sampling: FLAT, stopIds: [] }, draws / 8);
      for (const { result } of replies) observed[(await result).ids[2]!]!++;
    }
    assert.ok(engine.stats().draftedTokens > draws / 4, String(engine.stats().draftedTokens));
    const expected = thirdTokenProbabilities(promptIds);
    let chiSquare = 0;
    for (const [id, p] of expected.entries()) chiSquare += (observed[id]! - draws * p) ** 2 / (draws * p);
    // 49 degrees of freedom: mean 49, standard deviation 9.9; beyond 85.4 with a probability of 0.1 %.
    assert.ok(chiSquare < 85.4, `chi-square ${chiSquare}`);
  });
});

function probabilitiesAfter(ids: readonly number[]): number[] {
  const weights = Array.from(expectedLogits(ids), (logit) => Math.exp(logit));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Summed over the first two tokens of the reply. */
function thirdTokenProbabilities(promptIds: readonly number[]): number[] {
  const sums = Array.from({ length: VOCAB_SIZE }, () => 0);
  for (const [first, pFirst] of probabilitiesAfter(promptIds).entries()) {
    for (const [second, pSecond] of probabilitiesAfter([...promptIds, first]).entries()) {
      for (const [third, p] of probabilitiesAfter([...promptIds, first, second]).entries()) {
        sums[third]! += pFirst * pSecond * p;
      }
    }
  }
  return sums;
}
