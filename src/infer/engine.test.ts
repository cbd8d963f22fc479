import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CapacityError, ConfigError } from '../util/errors.ts';
import { integer, randomStream } from '../util/rng.ts';
import { Engine, type EngineOptions, type Runner } from './engine.ts';
import type { Generation } from './generation.ts';
import { expectedReply, StandIn, VOCAB_SIZE } from './stand-in-runner.ts';

const GREEDY = { temperature: 0 };

function engineOf(runner: Runner, options: EngineOptions = {}): Engine {
  return new Engine(runner, null, options);
}

async function idsOf(generation: Generation): Promise<readonly number[]> {
  return (await generation.result).ids;
}

const promptOf = (length: number, seed: number) =>
  Array.from({ length }, (_, i) => integer(randomStream(seed, 'prompt'), i, VOCAB_SIZE));

const sampled = (seed: number) => ({ promptIds: [4, 5], maxTokens: 12, seed, sampling: { temperature: 1, topP: 1 } });

describe('engine', () => {
  it('continues the prompt token by token and says why it ended', async () => {
    const runner = new StandIn();
    const engine = engineOf(runner);
    const generation = engine.generate({ promptIds: [1, 2, 3], maxTokens: 5, sampling: GREEDY });
    const ids: (number | null)[] = [];
    for await (const { id } of generation) ids.push(id);
    const result = await generation.result;
    assert.deepEqual(ids, expectedReply([1, 2, 3], 5));
    assert.deepEqual(result.ids, ids);
    assert.deepEqual([result.finishReason, result.promptTokens, result.stopId], ['length', 3, null]);
    assert.deepEqual(runner.steps, [[3], [1], [1], [1], [1]]);
    engine.checkInvariants();
  });

  it('stops at a stop token and leaves it out of the ids', async () => {
    const reply = expectedReply([9, 9], 20);
    const stop = reply[4]!;
    const generation = engineOf(new StandIn()).generate({ promptIds: [9, 9], sampling: GREEDY, stopIds: [stop] });
    const { ids, finishReason, stopId } = await generation.result;
    assert.deepEqual(ids, reply.slice(0, reply.indexOf(stop)));
    assert.deepEqual([finishReason, stopId], ['stop', stop]);
  });

  it('fills the context to its last token and no further', async () => {
    const ids = await idsOf(
      engineOf(new StandIn()).generate({ promptIds: promptOf(60, 1), sampling: GREEDY, stopIds: [] }),
    );
    assert.deepEqual(ids, expectedReply(promptOf(60, 1), 4));
  });

  it('gives every request the same reply alone, in company, chunked, and short of blocks', async () => {
    const request = fc.record({
      promptLength: fc.integer({ min: 1, max: 40 }),
      maxTokens: fc.integer({ min: 1, max: 20 }),
    });
    const options = fc.record({
      maxNumSequences: fc.integer({ min: 1, max: 5 }),
      maxNumBatchedTokens: fc.integer({ min: 1, max: 50 }),
      numBlocks: fc.integer({ min: 4, max: 12 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 6 }), options, async (requests, limits) => {
        const runner = new StandIn({ numBlocks: limits.numBlocks });
        const engine = engineOf(runner, limits);
        const replies = requests.map(({ promptLength, maxTokens }, i) =>
          engine.generate({ promptIds: promptOf(promptLength, i), maxTokens, sampling: GREEDY, stopIds: [] }),
        );
        for (const [i, { promptLength, maxTokens }] of requests.entries()) {
          assert.deepEqual(await idsOf(replies[i]!), expectedReply(promptOf(promptLength, i), maxTokens));
        }
        for (const step of runner.steps) {
          assert.ok(step.length <= limits.maxNumSequences);
          assert.ok(step.reduce((sum, n) => sum + n, 0) <= limits.maxNumBatchedTokens);
        }
        engine.checkInvariants();
      }),
      { numRuns: 60 },
    );
  });

  it('draws the same tokens for the same seed whatever runs beside it, others for another', async () => {
    const alone = await idsOf(engineOf(new StandIn()).generate(sampled(1)));
    const engine = engineOf(new StandIn());
    const together = [2, 1, 3].map((seed) => engine.generate(sampled(seed)));
    const replies = await Promise.all(together.map(idsOf));
    assert.deepEqual(replies[1], alone);
    assert.notDeepEqual(replies[0], alone);
  });

  it('cancels exactly the request whose signal aborts, or whose reader leaves, and frees its blocks', async () => {
    const engine = engineOf(new StandIn());
    const controller = new AbortController();
    const aborted = engine.generate({ promptIds: [1], maxTokens: 50, sampling: GREEDY, signal: controller.signal });
    const left = engine.generate({ promptIds: [2], maxTokens: 50, sampling: GREEDY });
    const kept = engine.generate({ promptIds: [3], maxTokens: 10, sampling: GREEDY });
    for await (const _ of left) break;
    controller.abort(new Error('enough'));
    await assert.rejects(aborted.result, /enough/);
    await assert.rejects(async () => {
      for await (const _ of aborted);
    }, /enough/);
    assert.deepEqual(await idsOf(kept), expectedReply([3], 10));
    await assert.rejects(left.result, /nobody reads/);
    engine.checkInvariants();
    const after = engine.generate({ promptIds: promptOf(60, 2), maxTokens: 4, sampling: GREEDY });
    assert.deepEqual(await idsOf(after), expectedReply(promptOf(60, 2), 4));
  });

  it('does not start a request whose signal has aborted before', async () => {
    const runner = new StandIn();
    const signal = AbortSignal.abort(new Error('too late'));
    await assert.rejects(engineOf(runner).generate({ promptIds: [1], signal }).result, /too late/);
    assert.deepEqual(runner.steps, []);
  });

  it('fails the requests of a step that fails, and serves the next ones', async () => {
    const runner = new StandIn();
    runner.failOnStep = 2;
    const engine = engineOf(runner);
    await assert.rejects(engine.generate({ promptIds: [1], maxTokens: 9 }).result, /the backend broke/);
    engine.checkInvariants();
    const next = engine.generate({ promptIds: [1], maxTokens: 3, sampling: GREEDY });
    assert.deepEqual(await idsOf(next), expectedReply([1], 3));
  });

  it('refuses what cannot be answered, before it takes anything', () => {
    const engine = engineOf(new StandIn());
    const refused = (request: Parameters<Engine['generate']>[0], kind: typeof ConfigError, message: RegExp) =>
      assert.throws(
        () => engine.generate(request),
        (error: Error) => error instanceof kind && message.test(error.message),
      );
    refused({ promptIds: [] }, ConfigError, /prompt is empty/);
    refused({ promptIds: [1, VOCAB_SIZE] }, ConfigError, /token 1 is 50, .* 0 to 49/);
    refused({ promptIds: [-1] }, ConfigError, /token 0 is -1/);
    refused({ promptIds: [0.5] }, ConfigError, /token 0 is 0.5/);
    refused({ promptIds: promptOf(64, 1) }, CapacityError, /prompt of 64 tokens leaves no room .* context of 64/);
    refused({ promptIds: [1], maxTokens: 64 }, CapacityError, /prompt of 1 tokens and 64 tokens .* context of 64/);
    refused({ promptIds: [1], maxTokens: 0 }, ConfigError, /from 1, got 0/);
    refused({ promptIds: [1], sampling: { topP: 2 } }, ConfigError, /top-p/);
    refused({ promptIds: [1], seed: -1 }, ConfigError, /seed/);
  });

  it('cancels what runs when it is disposed of, and takes no more', async () => {
    const runner = new StandIn();
    const engine = engineOf(runner);
    const generation = engine.generate({ promptIds: [1], maxTokens: 50 });
    await engine.dispose();
    await assert.rejects(generation.result, /disposed/);
    assert.ok(runner.isDisposed);
    assert.throws(() => engine.generate({ promptIds: [1] }), /disposed/);
  });
});
