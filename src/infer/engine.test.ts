import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CapacityError, ConfigError } from '../util/errors.ts';
import { integer, randomStream } from '../util/rng.ts';
import { Engine, type EngineOptions, type Runner } from './engine.ts';
import type { StepReport } from './engine-stats.ts';
import type { Generation } from './generation.ts';
import { expectedLogits, expectedReply, StandIn, VOCAB_SIZE } from './stand-in-runner.ts';

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

  it('ends a cancelled request while its step runs, and gives its blocks to others in the next one', async () => {
    const runner = new StandIn({ numBlocks: 4 });
    const engine = engineOf(runner);
    const controller = new AbortController();
    const long = engine.generate({ promptIds: promptOf(60, 1), sampling: GREEDY, signal: controller.signal });
    await long[Symbol.asyncIterator]().next();
    controller.abort(new Error('enough'));
    await assert.rejects(long.result, /enough/);
    assert.deepEqual([engine.stats().numRunning, engine.stats().kvBlocksUsed], [0, 0]);
    assert.deepEqual(await idsOf(engine.generate({ promptIds: promptOf(50, 2), maxTokens: 3, sampling: GREEDY })), [
      ...expectedReply(promptOf(50, 2), 3),
    ]);
    engine.checkInvariants();
  });

  it('computes a prompt seen before from its last block on, and says so', async () => {
    const runner = new StandIn();
    const engine = engineOf(runner);
    const request = { promptIds: promptOf(40, 1), maxTokens: 3, sampling: GREEDY, stopIds: [] };
    const [first, second] = [await engine.generate(request).result, await engine.generate(request).result];
    assert.deepEqual(second.ids, first.ids);
    assert.deepEqual([first.cachedTokens, second.cachedTokens], [0, 32]);
    assert.deepEqual(runner.steps, [[40], [1], [1], [8], [1], [1]]);
    const turn = { ...request, promptIds: [...request.promptIds, ...first.ids, 1, 2, 3, 4, 5, 6, 7, 8] };
    assert.equal((await engine.generate(turn).result).cachedTokens, 32);
    assert.deepEqual([engine.stats().prefixQueriedTokens, engine.stats().prefixHitTokens], [131, 64]);
    engine.forgetPrefixes();
    assert.equal((await engine.generate(request).result).cachedTokens, 0);
    const plain = engineOf(new StandIn(), { prefixCache: false });
    await plain.generate(request).result;
    assert.equal((await plain.generate(request).result).cachedTokens, 0);
  });

  it('finds the whole blocks of the reply before in the next turn of a conversation', async () => {
    const engine = engineOf(new StandIn());
    const request = { promptIds: promptOf(40, 1), maxTokens: 12, sampling: GREEDY, stopIds: [] };
    const { ids } = await engine.generate(request).result;
    const turn = { ...request, promptIds: [...request.promptIds, ...ids, 1, 2, 3], maxTokens: 2 };
    assert.equal((await engine.generate(turn).result).cachedTokens, 48); // 32 without the reply
  });

  it('computes the prompt of several replies once, and copies only the block that they write into', async () => {
    const runner = new StandIn();
    const engine = engineOf(runner);
    const request = { promptIds: promptOf(20, 1), maxTokens: 5, seed: 3, sampling: { temperature: 1, topP: 1 } };
    const replies = await Promise.all(engine.generateMany({ ...request, stopIds: [] }, 4).map(idsOf));
    assert.deepEqual(runner.steps, [[20], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]);
    assert.equal(runner.numCopies, 3);
    assert.equal(new Set(replies.map(String)).size, 4);
    assert.deepEqual(replies[0], await idsOf(engine.generate({ ...request, stopIds: [] })));
    engine.checkInvariants();
  });

  it('tells the log-probabilities of the model, of reply and prompt, whatever the sampling', async () => {
    const promptIds = [7, 3, 9];
    const sampling = { temperature: 0.1, repetitionPenalty: 1.5 };
    const request = { promptIds, maxTokens: 4, sampling, stopIds: [], logprobs: 2, promptLogprobs: 1 };
    const generation = engineOf(new StandIn()).generate(request);
    const { ids, logprobs, promptLogprobs } = await generation.result;
    const all = [...promptIds, ...ids];
    const told = [...promptLogprobs!, ...logprobs!];
    assert.deepEqual(told[0], { id: 7, logprob: null, topLogprobs: [] });
    for (let i = 1; i < all.length; i++) {
      const logits = Array.from(expectedLogits(all.slice(0, i)));
      const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
      const ranked = logits.map((logit, id) => ({ id, logprob: logit - total }));
      ranked.sort((a, b) => b.logprob - a.logprob || a.id - b.id);
      const { id, logprob, topLogprobs } = told[i]!;
      assert.deepEqual(id, all[i]);
      assert.ok(Math.abs(logprob! - (logits[id]! - total)) < 1e-9);
      const numTop = i < promptIds.length ? 1 : 2;
      assert.deepEqual(
        topLogprobs.map((top) => top.id),
        ranked.slice(0, numTop).map((top) => top.id),
      );
      assert.ok(topLogprobs.every((top, at) => Math.abs(top.logprob - ranked[at]!.logprob) < 1e-9));
    }
    const streamed: (number | null)[] = [];
    for await (const { logprob } of generation) streamed.push(logprob);
    assert.deepEqual(
      streamed,
      logprobs!.map(({ logprob }) => logprob),
    );
  });

  it('hands the tokens of every reply to their readers while the next step is computed', async () => {
    class CountingStandIn extends StandIn {
      numStarted = 0;
      override run(chunks: Parameters<StandIn['run']>[0]) {
        this.numStarted++;
        return super.run(chunks);
      }
    }
    const runner = new CountingStandIn();
    const request = { promptIds: [1, 2, 3], maxTokens: 4, sampling: GREEDY, stopIds: [] };
    const readings = engineOf(runner)
      .generateMany(request, 2)
      .map(async (generation) => {
        const steps: [started: number, done: number][] = [];
        for await (const _ of generation) steps.push([runner.numStarted, runner.steps.length]);
        return steps.slice(0, 3);
      });
    const expected = [1, 2, 3].map((done) => [done + 1, done]);
    assert.deepEqual(await Promise.all(readings), [expected, expected]);
  });

  it('reports its steps', async () => {
    const reports: StepReport[] = [];
    const engine = engineOf(new StandIn(), { onStep: (report) => reports.push(report) });
    await engine.generate({ promptIds: [1, 2, 3], maxTokens: 3, sampling: GREEDY, stopIds: [] }).result;
    await engine.dispose(); // the last report comes after the result
    assert.deepEqual(
      reports.map(({ numSequences, numPromptTokens, numDecodeTokens }) => [
        numSequences,
        numPromptTokens,
        numDecodeTokens,
      ]),
      [
        [1, 3, 0],
        [1, 0, 1],
        [1, 0, 1],
      ],
    );
    assert.ok(reports.every(({ modelMs, samplingMs }) => modelMs > 0 && samplingMs >= 0));
    const { steps, promptTokens, generatedTokens } = engine.stats();
    assert.deepEqual([steps, promptTokens, generatedTokens], [3, 3, 3]);
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
    refused({ promptIds: [1], sampling: { temperature: -1 } }, ConfigError, /temperature/);
    refused({ promptIds: [1], sampling: { temperature: NaN } }, ConfigError, /temperature/);
    refused({ promptIds: [1], sampling: { topK: 0 } }, ConfigError, /top-k/);
    refused({ promptIds: [1], sampling: { minP: 2 } }, ConfigError, /min-p/);
    refused({ promptIds: [1], sampling: { typicalP: 0 } }, ConfigError, /typical-p/);
    refused({ promptIds: [1], sampling: { repetitionPenalty: 0 } }, ConfigError, /repetition penalty/);
    refused({ promptIds: [1], sampling: { presencePenalty: NaN } }, ConfigError, /presence penalty/);
    refused({ promptIds: [1], logprobs: 21 }, ConfigError, /0 to 20 tokens, got 21/);
    refused({ promptIds: [1], promptLogprobs: 0.5 }, ConfigError, /0 to 20 tokens/);
    refused({ promptIds: [1], logitBias: new Map([[50, 1]]) }, ConfigError, /token 50/);
    refused({ promptIds: [1], logitBias: new Map([[5, Infinity]]) }, ConfigError, /bias of token 5/);
    refused({ promptIds: [1], minTokens: -1 }, ConfigError, /least number/);
    refused({ promptIds: [1], adapter: 'pirate' }, ConfigError, /no adapter "pirate"/);
    assert.throws(() => engine.generateMany({ promptIds: [1] }, 0), /from 1, got 0/);
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
