import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError } from '../util/errors.ts';
import { ModelRunner } from './model-runner.ts';
import { measurePerplexity } from './perplexity.ts';
import { testBackends, toyModel, TOY_CONFIG, toyPrompt } from './toy-model.ts';

/** Mean negative log-likelihood of tokens `from`.. of each window, by a plain loop over the logits of whole windows. */
async function plainNll(runner: ModelRunner, ids: readonly number[], size: number, bosId: number | null) {
  const losses: number[] = [];
  for (let start = 0; start + size <= ids.length; start += size) {
    const window = ids.slice(start, start + size);
    if (bosId !== null) window[0] = bosId;
    const blockIds = [...Array(Math.ceil(size / 16)).keys()];
    const [logits] = await runner.run([{ ids: window, startPos: 0, blockIds, logits: 'all' }]);
    const V = TOY_CONFIG.vocabSize;
    for (let target = Math.floor(size / 2) + 1; target < size; target++) {
      const row = logits!.slice((target - 1) * V, target * V);
      let sum = 0;
      for (const logit of row) sum += Math.exp(logit);
      losses.push(Math.log(sum) - row[window[target]!]!);
    }
  }
  return { nll: losses.reduce((a, b) => a + b) / losses.length, tokens: losses.length };
}

describe('perplexity', () => {
  for (const [name, open] of testBackends()) {
    it(`is that of the second halves of windows, whatever the sizes: ${name}`, async () => {
      const runner = new ModelRunner(toyModel(open()));
      const ids = toyPrompt(75);
      for (const windowTokens of [4, 11, 32, 75]) {
        for (const bosId of [null, 7]) {
          const options = { windowTokens, bosId, maxWindows: null };
          const given = await measurePerplexity(runner, Int32Array.from(ids), options);
          const expected = await plainNll(runner, ids, windowTokens, bosId);
          assert.equal(given.tokens, expected.tokens);
          assert.equal(given.windows, Math.floor(75 / windowTokens));
          assert.ok(Math.abs(given.nll - expected.nll) < 1e-6, `${given.nll} for ${expected.nll}`);
          assert.equal(given.perplexity, Math.exp(given.nll));
        }
      }
    });
  }

  it('scores as many windows as asked for and tells of each', async () => {
    const [open] = testBackends().values();
    const told: number[] = [];
    const given = await measurePerplexity(new ModelRunner(toyModel(open!())), Int32Array.from(toyPrompt(64)), {
      windowTokens: 8,
      bosId: null,
      maxWindows: 3,
      onProgress: (done, total) => told.push(done / total),
    });
    assert.equal(given.tokens, 3 * 3);
    assert.deepEqual(told, [1 / 3, 2 / 3, 1]);
  });

  it('refuses a text that fills no window', async () => {
    const [open] = testBackends().values();
    const options = { windowTokens: 32, bosId: null, maxWindows: null };
    const short = measurePerplexity(new ModelRunner(toyModel(open!())), Int32Array.from(toyPrompt(31)), options);
    await assert.rejects(short, ConfigError);
  });
});
