/**
 * The whole way from prompt to tokens on real kernels: a reply depends on its request alone.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend } from '../runtime/backend.ts';
import { Engine, type EngineOptions } from './engine.ts';
import type { ModelOptions } from './model.ts';
import { ModelDrafter } from './model-drafter.ts';
import { ModelRunner } from './model-runner.ts';
import { NgramDrafter } from './ngram-drafter.ts';
import { testBackends, toyModel, TOY_CONFIG, toyPrompt } from './toy-model.ts';

const SHARED = toyPrompt(35, 9);
const REQUESTS = [5, 90, 17, 1, 40, 7].map((length, i) => ({
  promptIds: i % 2 === 0 ? [...SHARED, ...toyPrompt(length, i)] : toyPrompt(length, i),
  maxTokens: 20 + 3 * i,
  seed: i,
  sampling: {
    temperature: i === 5 ? 0 : 1,
    topP: 0.95,
    topK: i === 2 ? 10 : null,
    repetitionPenalty: i === 4 ? 1.2 : 1,
  },
}));

type Replies = readonly (readonly number[])[];

function engineOn(backend: Backend, model: Partial<ModelOptions>, options: EngineOptions = {}): Engine {
  return new Engine(new ModelRunner(toyModel(backend, { contextLength: 128, ...model })), null, options);
}

async function repliesTogether(engine: Engine, order: readonly number[]): Promise<Replies> {
  const generations = order.map((i) => engine.generate(REQUESTS[i]!));
  const results = await Promise.all(generations.map(({ result }) => result));
  engine.checkInvariants();
  return REQUESTS.map((_, i) => results[order.indexOf(i)]!.ids);
}

async function repliesAlone(engine: Engine): Promise<Replies> {
  const replies: (readonly number[])[] = [];
  for (const request of REQUESTS) replies.push((await engine.generate(request).result).ids);
  return replies;
}

describe('a reply', () => {
  for (const model of [
    { weightType: 'f32', kvType: 'f32' },
    { weightType: 'q4', kvType: 'f16' },
  ] as const) {
    const seen: Replies[] = [];
    for (const [name, open] of testBackends()) {
      const kind = `${model.weightType}, ${name}`;

      it(`is the same alone, in company, cached, in chunks and short of memory: ${kind}`, async () => {
        const backend = open();
        const alone = await repliesAlone(engineOn(backend, model, { prefixCache: false }));
        assert.deepEqual(
          alone.map((ids) => ids.length),
          REQUESTS.map(({ maxTokens }) => maxTokens),
        );
        const engine = engineOn(backend, model);
        assert.deepEqual(await repliesTogether(engine, [0, 1, 2, 3, 4, 5]), alone);
        assert.deepEqual(await repliesTogether(engine, [2, 1, 0, 5, 4, 3]), alone);
        assert.ok(engine.stats().prefixHitTokens > 100);
        const small = engineOn(backend, { ...model, batch: 1 }, { maxNumBatchedTokens: 23 });
        assert.deepEqual(await repliesTogether(small, [3, 1, 4, 0, 2, 5]), alone);
        assert.ok(small.stats().preemptions > 0);
        if (name.startsWith('native')) seen.push(alone);
      });

      if (name.startsWith('reference')) continue; // slow, and the engine is the same
      it(`is the same whatever is guessed: ${kind}`, async () => {
        const backend = open();
        const alone = await repliesAlone(engineOn(backend, model));
        const other = new ModelRunner(toyModel(backend, { contextLength: 128, ...model, weightType: 'q8' }));
        const drafters = [
          new NgramDrafter(4),
          new ModelDrafter(other, { maxDraftTokens: 5, vocabSize: TOY_CONFIG.vocabSize }),
        ];
        for (const drafter of drafters) {
          const engine = engineOn(backend, model, { drafter });
          assert.deepEqual(await repliesAlone(engine), alone);
          assert.deepEqual(await repliesTogether(engine, [4, 1, 2, 0, 5, 3]), alone);
          const { draftedTokens, acceptedTokens } = engine.stats();
          assert.ok(draftedTokens > 10, `${draftedTokens} guesses`);
          if (drafter instanceof ModelDrafter) assert.ok(acceptedTokens > draftedTokens / 4, `${acceptedTokens} taken`);
        }
      });

      it(`is the same for each of several to one prompt, with a block copied for each: ${kind}`, async () => {
        const backend = open();
        const engine = engineOn(backend, model);
        const idsOf = async (n: number) => {
          const replies = engine.generateMany(REQUESTS[0]!, n);
          return Promise.all(replies.map(async ({ result }) => (await result).ids));
        };
        const three = await idsOf(3);
        assert.deepEqual(await idsOf(1), three.slice(0, 1));
        const crowded = engineOn(backend, model, { maxNumSequences: 2, prefixCache: false });
        const replies = crowded.generateMany(REQUESTS[0]!, 3);
        assert.deepEqual(await Promise.all(replies.map(async ({ result }) => (await result).ids)), three);
        assert.equal(new Set(three.map(String)).size, 3);
      });
    }

    it(`is the same on 1 and 2 threads: ${model.weightType}`, () => {
      for (const replies of seen) assert.deepEqual(replies, seen[0]);
    });
  }
});

describe('an embedding', () => {
  for (const [name, open] of testBackends()) {
    it(`is the same alone and in chunks beside others: ${name}`, async () => {
      const backend = open();
      const ids = toyPrompt(90, 3);
      const alone = await engineOn(backend, {}).embed(ids);
      assert.equal(alone.length, TOY_CONFIG.dim);
      assert.ok(alone.some((value) => value !== 0));
      const busy = engineOn(backend, {}, { maxNumBatchedTokens: 29 });
      const reply = busy.generate(REQUESTS[0]!);
      const [one, two] = await Promise.all([busy.embed(ids), busy.embed(ids.slice(0, 40)), reply.result]);
      assert.deepEqual(one, alone);
      assert.notDeepEqual(two, alone);
    });
  }
});
