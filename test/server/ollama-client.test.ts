/**
 * The official Ollama client against the server, over a real socket.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Ollama } from 'ollama';
import { type RunningServer, runServer, until } from './running-server.ts';

const MODEL = 'toy';
const messages = [{ role: 'user', content: 'What does a llama eat?' }];
const SCHEMA = {
  type: 'object',
  properties: { legs: { enum: ['two', 'four'] }, isLlama: { type: 'boolean' } },
  required: ['legs', 'isLlama'],
  additionalProperties: false,
};

let running: RunningServer;
let client: Ollama;
before(async () => {
  running = await runServer({ model: { contextLength: 1024, batch: 4 } });
  client = new Ollama({ host: running.url });
});
after(() => running.stop());

describe('ollama client', { timeout: 120_000 }, () => {
  it('chats, streamed as whole, with counts and durations in nanoseconds', async () => {
    const request = { model: MODEL, messages, options: { num_predict: 20, seed: 3 } };
    const whole = await client.chat(request);
    let [text, last] = ['', null as unknown];
    for await (const part of await client.chat({ ...request, stream: true })) {
      text += part.message.content;
      last = part;
    }
    assert.equal(text, whole.message.content);
    for (const { done, done_reason: reason, ...counts } of [whole, last as typeof whole]) {
      assert.ok(done && ['stop', 'length'].includes(reason));
      assert.ok(counts.eval_count > 0 && counts.eval_count <= 20 && counts.prompt_eval_count > 10);
      assert.ok(counts.total_duration >= counts.prompt_eval_duration + counts.eval_duration);
      assert.ok(counts.eval_duration > 1000 && Number.isInteger(counts.eval_duration));
    }
  });

  it('continues prompts, in the chat format and raw', async () => {
    const options = { num_predict: 4, temperature: 0 };
    const [chat, raw] = await Promise.all([
      client.generate({ model: MODEL, prompt: 'the hay', options }),
      client.generate({ model: MODEL, prompt: 'the hay', raw: true, options }),
    ]);
    assert.ok(chat.prompt_eval_count > raw.prompt_eval_count);
    assert.equal(raw.prompt_eval_count, 3);
    assert.equal(raw.context.length, raw.prompt_eval_count + raw.eval_count);
  });

  it('loads with an empty prompt and unloads with keep_alive 0', async () => {
    const loaded = await client.generate({ model: MODEL, prompt: '' });
    assert.equal(loaded.done_reason, 'load');
    const { models } = await client.ps();
    assert.deepEqual(
      models.map(({ name }) => name),
      [MODEL],
    );
    const unloaded = await client.generate({ model: MODEL, prompt: '', keep_alive: 0 });
    assert.equal(unloaded.done_reason, 'unload');
    assert.deepEqual((await client.ps()).models, []);
  });

  it('keeps to a schema', async () => {
    const answer = await client.chat({
      model: MODEL,
      messages,
      format: SCHEMA,
      options: { num_predict: 100, seed: 1 },
    });
    const value = JSON.parse(answer.message.content) as { legs: string; isLlama: unknown };
    assert.ok(['two', 'four'].includes(value.legs) && typeof value.isLlama === 'boolean');
  });

  it('gives vectors of length 1, one a text', async () => {
    const { embeddings } = await client.embed({ model: MODEL, input: ['a llama', 'hay'] });
    assert.equal(embeddings.length, 2);
    for (const vector of embeddings) assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-6);
  });

  it('lists, shows, pulls with progress and deletes models', async () => {
    const progress: (string | number)[] = [];
    for await (const { status, completed } of await client.pull({ model: 'org/new', stream: true }))
      progress.push(completed ?? status);
    assert.equal(progress[0], 'pulling manifest');
    assert.deepEqual(progress.slice(-2), [100, 'success']);
    const names = (await client.list()).models.map(({ name }) => name);
    assert.deepEqual(names, [MODEL, 'org/new']);
    const shown = await client.show({ model: 'org/new' });
    assert.equal(shown.details.family, 'llama');
    await client.delete({ model: 'org/new' });
    assert.deepEqual(running.catalog.removed, ['org/new']);
  });

  it('aborts a stream and frees the model', async () => {
    const stream = await client.chat({ model: MODEL, messages, stream: true, options: { seed: 5 } });
    const reading = (async () => {
      for await (const _ of stream) stream.abort();
    })();
    await assert.rejects(reading, { name: 'AbortError' });
    const { engine } = running.server.registry.loaded()[0]!.model;
    await until(() => engine.stats().numRunning === 0);
  });

  it('is told errors in its own shape', async () => {
    await assert.rejects(client.chat({ model: 'none', messages }), {
      status_code: 404,
      error: /"none" does not exist here/,
    });
    await assert.rejects(client.chat({ model: MODEL, messages, options: { mirostat: 2 } }), {
      status_code: 400,
      error: /options\.mirostat/,
    });
    const long = [{ role: 'user', content: 'x'.repeat(3000) }];
    await assert.rejects(client.chat({ model: MODEL, messages: long }), {
      status_code: 400,
      error: /1024 tokens long/,
    });
    await assert.rejects(client.pull({ model: 'nothing' }), { error: /no such model/ });
    await assert.rejects(client.embed({ model: MODEL, input: 'x'.repeat(3000) }), { error: /1024 tokens long/ });
  });

  it('knows the version', async () => {
    const { version } = (await (await fetch(`${running.url}/api/version`)).json()) as { version: string };
    assert.equal(version, '1.2.3');
  });
});
