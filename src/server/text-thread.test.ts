/** Long texts: what a thread answers is what this one would, and the event loop turns meanwhile. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { writeToyFolder } from '../../bench/toy-folder.ts';
import { openCheckpoint } from '../formats/open-checkpoint.ts';
import { checkpointChatFormat, requireTokenizer } from '../infer/model-files.ts';
import { shownTokens } from './inside-tokens.ts';
import { promptList } from './prompt-list.ts';
import { createCriaServer, type CriaServer } from './server.ts';
import type { TextModel } from './text-task.ts';
import { answerTextTask, type ThreadedModel } from './text-thread.ts';
import { toyCatalog } from './toy-catalog.ts';
import { tokenized, tokenizeSchema } from './tokenize-answer.ts';

const never = new AbortController().signal;
const LONG = 'the llama and the hay é 🦙\n'.repeat(60_000); // 1.6 MB

/** How long `work` takes, and the longest time without a turn of the event loop. */
async function watched<T>(work: () => Promise<T>): Promise<{ result: T; worstMs: number }> {
  let [last, worstMs] = [performance.now(), 0];
  const seen = () => {
    worstMs = Math.max(worstMs, performance.now() - last);
    last = performance.now();
  };
  const timer = setInterval(seen, 1);
  const result = await work();
  seen();
  clearInterval(timer);
  return { result, worstMs };
}

/** Milliseconds that `work` keeps this thread. */
function direct<T>(work: () => T): { result: T; ms: number } {
  const start = performance.now();
  const result = work();
  return { result, ms: performance.now() - start };
}

describe('long texts', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cria-long-'));
  const path = join(folder, 'toy');
  let server: CriaServer;
  let here: TextModel;
  let threaded: ThreadedModel;

  before(async () => {
    await writeToyFolder(path);
    const checkpoint = await openCheckpoint(path);
    const tokenizer = await requireTokenizer(checkpoint);
    here = { tokenizer, chatFormat: await checkpointChatFormat(checkpoint, tokenizer), contextLength: 256 };
    await checkpoint.close();
    threaded = { ...here, filesPath: path, model: here };
    server = await createCriaServer(toyCatalog({ filesPath: path }), { settings: { loadWaitMs: 60_000 } });
    await post('/tokenize', { content: '' }); // loads the model
  });
  after(async () => {
    await server.registry.close();
    rmSync(folder, { recursive: true });
  });

  const post = async (route: string, body: object) =>
    server.app.request(route, { method: 'POST', body: JSON.stringify({ model: 'toy', ...body }) });

  it('are tokenized while the event loop turns, into the same tokens', async () => {
    const expected = direct(() =>
      JSON.stringify(tokenized(tokenizeSchema.parse({ content: LONG, with_pieces: true }), here)),
    );
    const { result, worstMs } = await watched(() => post('/tokenize', { content: LONG, with_pieces: true }));
    assert.equal(result.status, 200);
    assert.ok((await result.text()) === expected.result); // far too long to be shown
    assert.ok(worstMs < expected.ms / 3, `${worstMs} ms without a turn; at once it takes ${expected.ms} ms`);
  });

  it('are what they would be on this thread: conversations, tokens with their places, refusals', async () => {
    const chat = tokenizeSchema.parse({ messages: [{ role: 'user', content: LONG.slice(0, 100_000) }] });
    const shown = { model: 'toy', text: LONG.slice(0, 100_000), special: true, bos: true };
    const answers = await Promise.all([
      answerTextTask(threaded, { kind: 'tokenize', body: chat }, never),
      answerTextTask(threaded, { kind: 'inside-tokens', body: shown }, never),
    ]);
    assert.deepEqual(await answers[0]!.json(), tokenized(chat, here));
    assert.deepEqual(await answers[1]!.json(), JSON.parse(JSON.stringify(shownTokens(shown, here))));
    const odd = { prompt: ['x', '', 'y'.repeat(20_000)] };
    const noBos = { ...threaded, tokenizer: here.tokenizer };
    assert.deepEqual(
      await promptList(noBos, odd.prompt, 'prompt', never),
      await promptList({ ...noBos, filesPath: null }, odd.prompt, 'prompt', never),
    );
    const absent = {
      ...threaded,
      tokenizer: Object.create(here.tokenizer) as never,
      filesPath: join(folder, 'absent'),
    };
    await assert.rejects(promptList(absent, odd.prompt, 'prompt', never), {
      status: 500,
      message: /absent: does not exist/,
    });
  });

  it('may be many that are short each', async () => {
    const prompt = Array.from({ length: 2000 }, (_, i) => LONG.slice(i, i + 4000));
    const expected = direct(() => prompt.map((text) => here.tokenizer.encode(text, { bos: true })));
    const { result, worstMs } = await watched(() => promptList(threaded, prompt, 'prompt', never));
    assert.deepEqual(result[1999], expected.result[1999]);
    assert.ok(result.every((ids, i) => ids.length === expected.result[i]!.length));
    assert.ok(worstMs < expected.ms / 2, `${worstMs} ms without a turn; at once it takes ${expected.ms} ms`);
    const unthreaded = await watched(() => promptList({ ...threaded, filesPath: null }, prompt, 'prompt', never));
    assert.deepEqual(unthreaded.result, result);
    assert.ok(unthreaded.worstMs < expected.ms / 2, `${unthreaded.worstMs} ms without a turn`);
    const response = await post('/v1/completions', { prompt });
    const { error } = (await response.json()) as { error: { code: string; n_prompt_tokens: number } };
    assert.deepEqual([response.status, error.code], [400, 'context_length_exceeded']);
    assert.equal(error.n_prompt_tokens, expected.result[0]!.length);
  });

  it('of clients that leave are given up, and others are read', async () => {
    const left = new AbortController();
    const gone = promptList(threaded, LONG, 'prompt', left.signal);
    const next = promptList(threaded, LONG.slice(0, 20_000), 'prompt', never);
    setImmediate(() => left.abort());
    await assert.rejects(gone, { name: 'AbortError' });
    assert.deepEqual((await next)[0], here.tokenizer.encode(LONG.slice(0, 20_000), { bos: true }));
  });

  it('are the text of long lists of tokens, whatever the tokens', async () => {
    const tokens = Array.from({ length: 300_000 }, (_, i) => (i * 7919) % here.tokenizer.vocabSize);
    const response = await post('/detokenize', { tokens });
    assert.ok(((await response.json()) as { content: string }).content === here.tokenizer.decode(tokens));
  });
});
