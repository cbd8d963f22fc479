/**
 * The official OpenAI client against the server, over a real socket.
 */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { type RunningServer, runServer, until } from './running-server.ts';

const MODEL = 'toy';
const messages = [{ role: 'user' as const, content: 'What does a llama eat?' }];
const tools = [
  {
    type: 'function' as const,
    function: {
      name: 'weather',
      description: 'Weather of a city',
      parameters: {
        type: 'object',
        properties: { unit: { enum: ['c', 'f'] }, days: { type: 'integer', minimum: 1, maximum: 9 } },
        required: ['unit', 'days'],
        additionalProperties: false,
      },
    },
  },
];

/** A choice with a field of vLLM's. */
type PromptTelling = OpenAI.CompletionChoice & {
  readonly prompt_logprobs: readonly (OpenAI.ChatCompletionTokenLogprob | null)[];
};

let running: RunningServer;
let client: OpenAI;
before(async () => {
  running = await runServer({ model: { contextLength: 2048, batch: 4 } }, { registry: { pinned: [MODEL] } });
  client = new OpenAI({ baseURL: `${running.url}/v1`, apiKey: 'unused', maxRetries: 0 });
});
after(() => running.stop());

describe('openai client: chat', () => {
  it('gets an answer with usage and the reason it ended', async () => {
    const answer = await client.chat.completions.create({ model: MODEL, messages, max_tokens: 12, seed: 1 });
    assert.equal(answer.object, 'chat.completion');
    assert.equal(answer.choices.length, 1);
    assert.equal(answer.choices[0]!.message.role, 'assistant');
    assert.ok(['stop', 'length'].includes(answer.choices[0]!.finish_reason));
    assert.equal(answer.usage!.total_tokens, answer.usage!.prompt_tokens + answer.usage!.completion_tokens);
  });

  it('streams what it would give whole, for the same seed, alone or beside others', async () => {
    const request = { model: MODEL, messages, max_tokens: 40, seed: 7, temperature: 0.9 };
    const whole = await client.chat.completions.create(request);
    const streams = [1, 2, 3].map(async (other) => {
      const stream = await client.chat.completions.create({
        ...request,
        seed: other === 2 ? 7 : other,
        stream: true,
        stream_options: { include_usage: true },
      });
      let [text, numRoles, numEnds, usage] = ['', 0, 0, null as unknown];
      for await (const chunk of stream) {
        const [choice] = chunk.choices;
        if (choice?.delta.role) numRoles++;
        if (choice?.finish_reason) numEnds++;
        if (choice === undefined) usage = chunk.usage;
        text += choice?.delta.content ?? '';
      }
      return { text, numRoles, numEnds, usage };
    });
    const [, same] = await Promise.all(streams);
    assert.equal(same!.text, whole.choices[0]!.message.content);
    assert.deepEqual([same!.numRoles, same!.numEnds], [1, 1]);
    assert.deepEqual(
      { ...(same!.usage as object), prompt_tokens_details: null },
      { ...whole.usage, prompt_tokens_details: null },
    );
  });

  it('gives several choices, the first of which is the one asked for alone', async () => {
    const request = { model: MODEL, messages, max_tokens: 10, seed: 3 };
    const [one, three] = await Promise.all([
      client.chat.completions.create(request),
      client.chat.completions.create({ ...request, n: 3 }),
    ]);
    assert.equal(three.choices.length, 3);
    assert.equal(three.choices[0]!.message.content, one.choices[0]!.message.content);
    assert.ok(new Set(three.choices.map(({ message }) => message.content)).size > 1);
  });

  it('gives log-probabilities whose bytes spell the answer', async () => {
    const answer = await client.chat.completions.create({
      model: MODEL,
      messages,
      max_tokens: 8,
      temperature: 0,
      logprobs: true,
      top_logprobs: 3,
    });
    const content = answer.choices[0]!.logprobs!.content!;
    assert.equal(content.length, answer.usage!.completion_tokens);
    for (const { logprob, top_logprobs: top } of content) {
      assert.ok(logprob <= 0);
      assert.equal(top.length, 3);
      assert.equal(top[0]!.logprob, logprob); // greedy takes the most likely
    }
    const bytes = content.flatMap((token) => token.bytes!);
    assert.equal(new TextDecoder().decode(Uint8Array.from(bytes)), answer.choices[0]!.message.content);
  });

  it('stops at a stop string without giving it', async () => {
    const request = { model: MODEL, messages, max_tokens: 60, seed: 11 };
    const text = (await client.chat.completions.create(request)).choices[0]!.message.content!;
    const stop = text.slice(5, 7);
    const cut = (await client.chat.completions.create({ ...request, stop })).choices[0]!;
    assert.equal(cut.message.content, text.slice(0, text.indexOf(stop)));
    assert.equal(cut.finish_reason, 'stop');
  });

  it('keeps to a logit bias', async () => {
    const { tokens } = (await (
      await fetch(`${running.url}/tokenize`, { method: 'POST', body: JSON.stringify({ model: MODEL, content: 'x' }) })
    ).json()) as { tokens: number[] };
    const answer = await client.chat.completions.create({
      model: MODEL,
      messages,
      max_tokens: 4,
      logit_bias: { [tokens[0]!]: 100 },
    });
    assert.equal(answer.choices[0]!.message.content, 'xxxx');
  });
});

describe('openai client: structured output', () => {
  const Animal = z.object({ legs: z.enum(['two', 'four']), isLlama: z.boolean() });

  it('parses what a zod schema describes', async () => {
    const answer = await client.chat.completions.parse({
      model: MODEL,
      messages,
      max_tokens: 200,
      seed: 5,
      response_format: zodResponseFormat(Animal, 'animal'),
    });
    assert.ok(Animal.safeParse(answer.choices[0]!.message.parsed).success);
  });

  it("keeps to a schema beside json_object, as llama.cpp's server and its clients have it", async () => {
    const schema = z.toJSONSchema(Animal);
    const format = { type: 'json_object' as const, schema };
    const answer = await client.chat.completions.create({
      model: MODEL,
      messages,
      max_tokens: 200,
      seed: 5,
      response_format: format,
    });
    assert.ok(Animal.safeParse(JSON.parse(answer.choices[0]!.message.content!)).success);
  });

  it('refuses a schema it cannot keep to, naming the place', async () => {
    const schema = { type: 'object', properties: { a: { not: {} } } };
    const request = {
      model: MODEL,
      messages,
      response_format: { type: 'json_schema' as const, json_schema: { name: 's', schema } },
    };
    await assert.rejects(
      client.chat.completions.create(request),
      (error: InstanceType<typeof OpenAI.BadRequestError>) => {
        assert.equal(error.status, 400);
        assert.match(error.param!, /properties\/a/);
        return true;
      },
    );
  });
});

describe('openai client: tools', () => {
  it('calls the tool that is asked for, with valid arguments', async () => {
    const answer = await client.chat.completions.create({
      model: MODEL,
      messages,
      tools,
      tool_choice: { type: 'function', function: { name: 'weather' } },
      max_tokens: 200,
      seed: 2,
    });
    const [choice] = answer.choices;
    assert.equal(choice!.finish_reason, 'tool_calls');
    assert.equal(choice!.message.content, null);
    const call = choice!.message.tool_calls![0]!;
    assert.ok(call.type === 'function' && call.function.name === 'weather' && call.id.startsWith('call_'));
    checkArguments(call.function.arguments);
  });

  it('calls a tool that is named once, though several calls are allowed', async () => {
    const tool_choice = { type: 'function' as const, function: { name: 'weather' } };
    const request = { model: MODEL, messages, tools, tool_choice, max_tokens: 400, n: 8, seed: 1 };
    const { choices } = await client.chat.completions.create(request);
    assert.deepEqual(
      choices.map(({ message }) => message.tool_calls!.length),
      choices.map(() => 1),
    );
  });

  it('streams the id and name first, then fragments of the arguments', async () => {
    const stream = await client.chat.completions.create({
      model: MODEL,
      messages,
      tools,
      tool_choice: 'required',
      parallel_tool_calls: false,
      max_tokens: 200,
      seed: 2,
      stream: true,
    });
    let [json, first, numFragments, end] = ['', null as unknown, 0, null as string | null];
    for await (const { choices } of stream) {
      const call = choices[0]?.delta.tool_calls?.[0];
      if (call) {
        first ??= { index: call.index, name: call.function?.name, hasId: call.id !== undefined };
        json += call.function?.arguments ?? '';
        numFragments++;
      }
      end = choices[0]?.finish_reason ?? end;
    }
    assert.deepEqual(first, { index: 0, name: 'weather', hasId: true });
    assert.ok(numFragments > 2);
    assert.equal(end, 'tool_calls');
    checkArguments(json);
  });

  it('takes the answers of tools back', async () => {
    const answer = await client.chat.completions.create({
      model: MODEL,
      tools,
      tool_choice: 'none',
      max_tokens: 5,
      messages: [
        ...messages,
        { role: 'assistant', content: null, tool_calls: [weatherCall('a'), weatherCall('b')] },
        { role: 'tool', tool_call_id: 'b', content: 'rain' },
        { role: 'tool', tool_call_id: 'a', content: 'sun' },
      ],
    });
    assert.equal(answer.choices[0]!.message.tool_calls, undefined);
  });
});

describe('openai client: completions, embeddings, models', () => {
  it('continues several prompts, of text and of tokens', async () => {
    const texts = await client.completions.create({
      model: MODEL,
      prompt: ['the hay', 'a llama'],
      max_tokens: 4,
      n: 2,
      seed: 1,
    });
    assert.deepEqual(
      texts.choices.map(({ index }) => index),
      [0, 1, 2, 3],
    );
    const ids = await client.completions.create({ model: MODEL, prompt: [[104, 97], [97]], max_tokens: 2 });
    assert.equal(ids.choices.length, 2);
    assert.equal(ids.usage!.prompt_tokens, 3);
  });

  it('echoes the prompt with its log-probabilities', async () => {
    const answer = await client.completions.create({
      model: MODEL,
      prompt: 'the hay',
      max_tokens: 3,
      echo: true,
      logprobs: 2,
      temperature: 0,
    });
    const [choice] = answer.choices;
    assert.ok(choice!.text.startsWith('the hay'));
    const { tokens, token_logprobs: logprobs, text_offset: offsets } = choice!.logprobs!;
    assert.equal(tokens!.length, answer.usage!.total_tokens);
    assert.equal(logprobs![0], null);
    assert.ok(logprobs!.slice(1).every((value) => value <= 0));
    assert.equal(offsets!.length, tokens!.length);
  });

  it('tells what the model says of every prompt, if it is asked for', async () => {
    const request = { model: MODEL, prompt: ['the hay', 'llama'], max_tokens: 1, echo: true, logprobs: 3 };
    const told = { ...request, prompt_logprobs: 1 };
    const { choices } = await client.completions.create(told as typeof request);
    for (const choice of choices as PromptTelling[]) {
      const [first, ...tokens] = choice.prompt_logprobs;
      assert.equal(first, null);
      assert.ok(tokens.every((token) => token!.top_logprobs.length === 1));
      const { token_logprobs: echoed, top_logprobs: alternatives } = choice.logprobs!;
      assert.deepEqual(
        tokens.map((token) => token!.logprob),
        echoed!.slice(1, tokens.length + 1),
      );
      assert.equal(Object.keys(alternatives![1]!).length, 3);
    }
    const plain = await client.completions.create(request);
    assert.ok(plain.choices.every((choice) => !('prompt_logprobs' in choice)));
  });

  it('tells the log-probability of the token that ended a text, which harnesses of evaluation count on', async () => {
    const request = { model: MODEL, prompt: 'the hay', max_tokens: 1, temperature: 0, logprobs: 2 };
    const forced = { logit_bias: { 97: 100 } };
    const [drawn] = (await client.completions.create({ ...request, ...forced })).choices;
    const stopped = { ...request, ...forced, stop_token_ids: [97] };
    const [ended] = (await client.completions.create(stopped)).choices;
    assert.equal(ended!.finish_reason, 'stop');
    assert.equal(ended!.text, '');
    assert.deepEqual(ended!.logprobs, drawn!.logprobs);
    let last = null;
    for await (const { choices } of await client.completions.create({ ...stopped, stream: true })) last = choices[0];
    assert.deepEqual(last!.logprobs, drawn!.logprobs);
  });

  it('refuses to stream what is known of the whole only', async () => {
    const request = { model: MODEL, prompt: 'the hay', stream: true as const };
    const told = { ...request, prompt_logprobs: 1 };
    await assert.rejects(client.completions.create(told as typeof request), { status: 400, param: 'prompt_logprobs' });
    const echoed = { ...request, echo: true, logprobs: 1 };
    await assert.rejects(client.completions.create(echoed), { status: 400, param: 'echo' });
  });

  it('gives the best of several', async () => {
    const request = { model: MODEL, prompt: 'the hay', max_tokens: 5, seed: 4, logprobs: 0 };
    const all = await client.completions.create({ ...request, n: 4 });
    const best = await client.completions.create({ ...request, best_of: 4 });
    assert.equal(best.choices.length, 1);
    assert.equal(meanLogprob(best.choices[0]!), Math.max(...all.choices.map(meanLogprob)));
  });

  it('gives the same embedding as floats and as base64, alone and in a list', async () => {
    const [floats, encoded] = await Promise.all([
      client.embeddings.create({ model: MODEL, input: ['a llama', 'hay'], encoding_format: 'float' }),
      client.embeddings.create({ model: MODEL, input: 'a llama' }), // the client asks for base64 and decodes it
    ]);
    assert.equal(floats.data.length, 2);
    assert.deepEqual(floats.data[0]!.embedding, encoded.data[0]!.embedding);
    assert.notDeepEqual(floats.data[0]!.embedding, floats.data[1]!.embedding);
  });

  it('lists and describes the models', async () => {
    const ids = [];
    for await (const { id } of client.models.list()) ids.push(id);
    assert.deepEqual(ids, [MODEL]);
    assert.equal((await client.models.retrieve(MODEL)).owned_by, 'cria');
  });
});

describe('openai client: errors, aborts, retries', { timeout: 120_000 }, () => {
  it('learns of a wrong model, a wrong field and an overlong prompt', async () => {
    await assert.rejects(client.chat.completions.create({ model: 'none', messages }), {
      status: 404,
      code: 'model_not_found',
    });
    await assert.rejects(client.chat.completions.create({ model: MODEL, messages, temperature: 9 }), {
      status: 400,
      param: 'temperature',
    });
    const long = [{ role: 'user' as const, content: 'x'.repeat(5000) }];
    await assert.rejects(client.chat.completions.create({ model: MODEL, messages: long }), {
      status: 400,
      code: 'context_length_exceeded',
      message: /2048 tokens long; the prompt has 5\d\d\d tokens/,
    });
  });

  it('frees the model when it aborts, streaming or not', async () => {
    const { engine } = running.server.registry.loaded()[0]!.model;
    const stream = await client.chat.completions.create({
      model: MODEL,
      messages,
      max_tokens: 1500,
      stream: true,
      logit_bias: noStops(),
    });
    for await (const _ of stream) break; // leaving the iteration aborts
    const controller = new AbortController();
    const whole = client.chat.completions.create(
      { model: MODEL, messages, max_tokens: 1500, logit_bias: noStops() },
      { signal: controller.signal },
    );
    await until(() => engine.stats().numRunning > 0);
    controller.abort();
    await assert.rejects(whole);
    await until(() => engine.stats().numRunning + engine.stats().numWaiting === 0);
    engine.checkInvariants();
  });

  it('comes back by itself while a model loads and when the queue is full', async () => {
    const gate = new EventEmitter();
    const other = await runServer(
      {
        whileLoading: () => once(gate, 'open').then(() => {}),
        engine: { maxNumSequences: 1 },
        model: { contextLength: 2048 },
      },
      { settings: { loadWaitMs: 0 }, registry: { maxWaiting: 0 } },
    );
    const impatient = new OpenAI({ baseURL: `${other.url}/v1`, apiKey: 'unused', maxRetries: 0 });
    const patient = new OpenAI({ baseURL: `${other.url}/v1`, apiKey: 'unused', maxRetries: 5 });
    const request = { model: MODEL, messages, max_tokens: 3 };
    await assert.rejects(impatient.chat.completions.create(request), { status: 503, code: 'model_loading' });
    const answer = patient.chat.completions.create(request);
    gate.emit('open');
    assert.equal((await answer).choices.length, 1);
    const long = await impatient.chat.completions.create({
      ...request,
      max_tokens: 1900, // far longer than the next two requests take to arrive
      stream: true,
      logit_bias: noStops(),
    });
    await assert.rejects(impatient.chat.completions.create(request), { status: 429, code: 'rate_limit_exceeded' });
    const second = patient.chat.completions.create(request);
    long.controller.abort();
    assert.equal((await second).choices.length, 1);
    await other.stop();
  });
});

const weatherCall = (id: string) => ({
  id,
  type: 'function' as const,
  function: { name: 'weather', arguments: '{"unit":"c","days":1}' },
});

function checkArguments(json: string): void {
  const args = JSON.parse(json) as { unit: string; days: number };
  assert.ok(['c', 'f'].includes(args.unit) && args.days >= 1 && args.days <= 9);
}

const meanLogprob = (choice: OpenAI.CompletionChoice) =>
  choice.logprobs!.token_logprobs!.reduce((a, b) => a + b, 0) / choice.logprobs!.token_logprobs!.length;

function noStops(): Record<string, number> {
  const { stopIds } = running.server.registry.loaded()[0]!.model;
  return Object.fromEntries(stopIds.map((id) => [id, -100]));
}
