import { strict as assert } from 'node:assert';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { captureIo } from '../../test/run-command.ts';
import { tinyConfig, tinyText } from '../../test/tiny-run.ts';
import { start } from './start.ts';

const cache = mkdtempSync(join(tmpdir(), 'cria-start-'));
after(() => rmSync(cache, { recursive: true }));
const text = join(cache, 'text.jsonl');
writeFileSync(text, tinyText());
const base = tinyConfig(text, { steps: 3 });
const config = { ...base, model: { ...base.model, maxSeqLen: 256 }, checkpoint: { everySteps: 1, keep: 3 } };

/** What `cria start` writes to a pipe. */
async function started(settings = config): Promise<{ out: string; err: string }> {
  const { io, written } = captureIo();
  await start(settings, { ...io, env: { CRIA_CACHE: cache } });
  return written;
}

describe('cria start', () => {
  it('trains once, goes on where it was stopped, and prints a sample', async () => {
    const first = await started();
    assert.match(first.err, /Training a small Llama.*Trained in .*\d bits per byte on text it has never seen/s);
    assert.ok(first.out.length > 20);
    const second = await started();
    assert.equal(second.out, first.out);
    assert.doesNotMatch(second.err, /Training/);
    rmSync(join(cache, 'nano', 'checkpoints', 'step-3'), { recursive: true });
    const third = await started();
    assert.match(third.err, /going on from step 2/);
    assert.equal(third.out, first.out);
  });

  it('moves an unfinished run of other settings out of the way', async () => {
    rmSync(join(cache, 'nano', 'checkpoints', 'step-3'), { recursive: true });
    const { err } = await started({ ...config, seed: 2 });
    assert.match(err, /moved to .*nano\.1\n/);
    assert.deepEqual(readdirSync(cache).toSorted(), ['nano', 'nano.1', 'text.jsonl']);
  });

  it('serves without a terminal when it is told to, and ends at a signal', async () => {
    const { io, written } = captureIo();
    const settings = { ...config, seed: 2 };
    const running = start(
      settings,
      { ...io, env: { CRIA_CACHE: cache, HF_HUB_CACHE: join(cache, 'hub') } },
      { serve: true, port: '0' },
    );
    while (!/Open (\S+)/.test(written.err))
      await Promise.race([running, new Promise((resolve) => setTimeout(resolve, 20))]);
    const url = /Open (\S+)/.exec(written.err)![1]!;
    const body = JSON.stringify({ messages: [{ role: 'user', content: 'the llama' }], max_tokens: 3, seed: 1 });
    const answer = (await (await fetch(`${url}/v1/chat/completions`, { method: 'POST', body })).json()) as {
      model: string;
    };
    assert.equal(answer.model, 'nano');
    process.emit('SIGTERM');
    await running;
  });
});
