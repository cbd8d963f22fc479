/**
 * What the clients of the soak do, one kind of behaviour a row. Each checks what it got and names the outcome; a wrong answer throws.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { integer, randomStream } from '../src/util/rng.ts';

export interface SoakClient {
  readonly url: string;
  readonly key: string;
  /** The first answer to each request: all later ones must equal it. */
  readonly known: Map<string, string>;
  readonly hubModel: string;
  get(path: string): Promise<Response>;
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>;
}

export interface SoakAction {
  readonly name: string;
  readonly weight: number;
  /** `choice` decides everything that is random. Gives the outcome. */
  run(client: SoakClient, choice: number): Promise<string>;
}

const NUM_PROMPTS = 60;
const WORDS = ['the hay', ' llama', ' and', ' é', '日本', ' weather', 'x', '\n', '"', '🦙'];

/** One of a fixed set of conversations; some share their beginning, some fill most of the context. */
function conversation(choice: number): { messages: object[]; max_tokens: number; seed: number; temperature: number } {
  const which = choice % NUM_PROMPTS;
  const random = randomStream(which, 'prompt');
  const length = 1 + integer(random, 0, which % 7 === 0 ? 120 : 20);
  const text = Array.from({ length }, (_, i) => WORDS[integer(random, i + 1, WORDS.length)]).join('');
  const system = { role: 'system', content: `You are a llama. ${'hay '.repeat(which % 3 === 0 ? 30 : 2)}` };
  return {
    messages: [system, { role: 'user', content: text }],
    max_tokens: 1 + ((which * 7) % 60),
    seed: which,
    temperature: which % 4 === 0 ? 0 : 0.9,
  };
}

/** Text, tool calls and end of a stream of server-sent events. */
export async function streamed(response: Response): Promise<{ text: string; isWhole: boolean; numEnds: number }> {
  assert.equal(response.status, 200);
  let [text, numEnds] = ['', 0];
  const lines = (await response.text()).split('\n').filter((line) => line.startsWith('data: '));
  const isWhole = lines.at(-1) === 'data: [DONE]';
  for (const line of lines.slice(0, isWhole ? -1 : undefined)) {
    const event = JSON.parse(line.slice(6)) as {
      error?: object;
      choices?: { delta?: { content?: string }; text?: string; finish_reason: string | null }[];
    };
    assert.equal(event.error, undefined, line);
    for (const { delta, text: piece, finish_reason: end } of event.choices ?? []) {
      text += delta?.content ?? piece ?? '';
      if (end) numEnds++;
    }
  }
  return { text, isWhole, numEnds };
}

/** A 429 or 503 is an answer too, if it says when to come back; null for any other. */
async function busy(response: Response): Promise<string | null> {
  if (response.status !== 429 && response.status !== 503) return null;
  assert.match(response.headers.get('retry-after') ?? '', /^\d+$/);
  assert.ok(((await response.json()) as { error: unknown }).error);
  await sleep(20);
  return String(response.status);
}

function checkKnown({ known }: SoakClient, key: string, answer: string): void {
  const before = known.get(key);
  if (before === undefined) known.set(key, answer);
  else assert.equal(answer, before, `another answer to ${key}`);
}

async function refusedWith(response: Response, status: number, code?: string): Promise<string> {
  const body = (await response.json()) as { error: { code?: string } };
  if (response.status === 429 && status !== 429) return 'busy';
  assert.equal(response.status, status, JSON.stringify(body));
  if (code !== undefined) assert.equal(body.error.code, code);
  return String(status);
}

const chatWhole: SoakAction = {
  name: 'chat',
  weight: 20,
  run: async (client, choice) => {
    const request = conversation(choice);
    const response = await client.post('/v1/chat/completions', request);
    const isBusy = await busy(response);
    if (isBusy) return isBusy;
    assert.equal(response.status, 200);
    const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
    checkKnown(client, `chat ${request.seed}`, choices[0]!.message.content);
    return 'answered';
  },
};

const chatStreamed: SoakAction = {
  name: 'chat, streamed',
  weight: 25,
  run: async (client, choice) => {
    const request = conversation(choice);
    const response = await client.post('/v1/chat/completions', {
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    const isBusy = await busy(response);
    if (isBusy) return isBusy;
    const { text, isWhole, numEnds } = await streamed(response);
    assert.ok(isWhole && numEnds === 1);
    checkKnown(client, `chat ${request.seed}`, text);
    return 'answered';
  },
};

const completion: SoakAction = {
  name: 'completion, several choices',
  weight: 8,
  run: async (client, choice) => {
    const { max_tokens: maxTokens, seed } = conversation(choice);
    const body = {
      prompt: ['the hay', 'a llama'],
      max_tokens: 1 + (maxTokens % 20),
      seed,
      n: 1 + (seed % 3),
      logprobs: 2,
      echo: seed % 2 === 0,
    };
    const response = await client.post('/v1/completions', body);
    const isBusy = await busy(response);
    if (isBusy) return isBusy;
    const { choices } = (await response.json()) as { choices: { text: string; logprobs: object }[] };
    assert.equal(choices.length, 2 * body.n);
    checkKnown(client, `completion ${seed}`, JSON.stringify(choices));
    return 'answered';
  },
};

const structured: SoakAction = {
  name: 'structured output',
  weight: 6,
  run: async (client, choice) => {
    const schema = {
      type: 'object',
      properties: { a: { enum: ['x', 'y'] }, b: { type: 'boolean' } },
      required: ['a', 'b'],
      additionalProperties: false,
    };
    const request = {
      ...conversation(choice),
      max_tokens: 80,
      response_format: { type: 'json_schema', json_schema: { name: 's', schema } },
    };
    const response = await client.post('/v1/chat/completions', request);
    const isBusy = await busy(response);
    if (isBusy) return isBusy;
    if (response.status === 400) return refusedWith(response, 400, 'context_length_exceeded');
    const answer = await response.text();
    assert.equal(response.status, 200, answer);
    const { choices } = JSON.parse(answer) as { choices: { message: { content: string } }[] };
    const { content } = choices[0]!.message;
    checkKnown(client, `structured ${request.seed}`, content);
    assert.match(content, /^\{\s*"a"\s*:\s*"[xy]"\s*,\s*"b"\s*:\s*(true|false)\s*\}\s*$/, answer);
    return 'valid';
  },
};

const ollamaChat: SoakAction = {
  name: 'ollama chat',
  weight: 8,
  run: async (client, choice) => {
    const { messages, max_tokens: maxTokens, seed } = conversation(choice);
    const response = await client.post('/api/chat', {
      model: 'toy',
      messages,
      options: { num_predict: maxTokens, seed, temperature: 0.5 },
    });
    const isBusy = await busy(response);
    if (isBusy) return isBusy;
    const lines = (await response.text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { done: boolean; message: { content: string } });
    assert.ok(lines.at(-1)!.done);
    checkKnown(client, `ollama ${seed}`, lines.map(({ message }) => message.content).join(''));
    return 'answered';
  },
};

const embeddings: SoakAction = {
  name: 'embeddings',
  weight: 4,
  run: async (client, choice) => {
    const response = await client.post('/v1/embeddings', { input: ['hay', `llama ${choice % 10}`] });
    const isBusy = await busy(response);
    if (isBusy) return isBusy;
    const { data } = (await response.json()) as { data: { embedding: number[] }[] };
    checkKnown(client, `embedding ${choice % 10}`, JSON.stringify(data[1]!.embedding));
    checkKnown(client, 'embedding of hay', JSON.stringify(data[0]!.embedding));
    return 'answered';
  },
};

const cancelled: SoakAction = {
  name: 'cancelled at a random moment',
  weight: 10,
  run: async (client, choice) => {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), choice % 150);
    const body = {
      ...conversation(choice),
      max_tokens: 300,
      ignore_eos: true,
      stream: choice % 2 === 0,
      n: 1 + (choice % 3),
    };
    try {
      const response = await client.post('/v1/chat/completions', body, { signal: controller.signal });
      await response.text();
      return 'too late';
    } catch (error) {
      assert.ok(controller.signal.aborted, String(error));
      return 'cancelled';
    } finally {
      clearTimeout(timer);
    }
  },
};

/** A connection by hand, to behave as no library does. */
function rawRequest({ url, key }: SoakClient, body: string, claimedLength = Buffer.byteLength(body)) {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: ${hostname}:${port}\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\nContent-Length: ${claimedLength}\r\n\r\n${body}`,
  );
  return socket;
}

const vanishing: SoakAction = {
  name: 'client that vanishes',
  weight: 6,
  run: async (client, choice) => {
    const body = JSON.stringify({ ...conversation(choice), stream: true, max_tokens: 400, ignore_eos: true });
    const isMidBody = choice % 3 === 0;
    const socket = rawRequest(client, isMidBody ? body.slice(0, body.length >> 1) : body, Buffer.byteLength(body));
    await sleep(choice % 60);
    if (choice % 2) socket.resetAndDestroy();
    else socket.destroy();
    return isMidBody ? 'in the middle of its body' : 'in the middle of its answer';
  },
};

const slowReader: SoakAction = {
  name: 'client that reads slowly',
  weight: 2,
  run: async (client, choice) => {
    const body = JSON.stringify({ ...conversation(choice), stream: true, max_tokens: 200, ignore_eos: true });
    const socket = rawRequest(client, body);
    let text = '';
    socket.on('data', (part) => {
      text += String(part);
      socket.pause();
      setTimeout(() => socket.resume(), 15);
    });
    for (let i = 0; i < 1500 && !text.includes('data: [DONE]') && !/^HTTP\/1.1 4/.test(text); i++) await sleep(20);
    socket.destroy();
    if (/^HTTP\/1.1 4/.test(text)) return /^HTTP\/1.1 (\d+)/.exec(text)![1]!;
    assert.ok(text.includes('data: [DONE]'), `a slow reader got no end: ${text.slice(-300)}`);
    return 'answered';
  },
};

const BROKEN_BODIES: readonly (readonly [name: string, body: unknown])[] = [
  ['broken JSON', '{"messages": [{"role": "user", '],
  ['no JSON', 'hello'],
  ['empty', ''],
  ['an array', '[]'],
  ['invalid UTF-8', Uint8Array.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0xfe, 0x22, 0x7d])],
  ['deep', '['.repeat(200_000)],
  ['deep and closed', `{"messages":${'['.repeat(5000)}${']'.repeat(5000)}}`],
  ['wrong types', { messages: 'hello' }],
  ['unknown field', { messages: [{ role: 'user', content: 'x' }], sampling: {} }],
  ['unknown role', { messages: [{ role: 'boss', content: 'x' }] }],
  ['impossible number', { messages: [{ role: 'user', content: 'x' }], temperature: 'hot' }],
  ['no such token', { messages: [{ role: 'user', content: 'x' }], logit_bias: { 99999: 1 } }],
  [
    'a schema that is not kept',
    {
      messages: [{ role: 'user', content: 'x' }],
      response_format: { type: 'json_schema', json_schema: { schema: { not: {} } } },
    },
  ],
  ['a broken grammar', { messages: [{ role: 'user', content: 'x' }], guided_grammar: 'root ::= (' }],
];

const malformed: SoakAction = {
  name: 'malformed body',
  weight: 8,
  run: async (client, choice) => {
    const [name, body] = BROKEN_BODIES[choice % BROKEN_BODIES.length]!;
    return `${name} ${await refusedWith(await client.post('/v1/chat/completions', body), 400)}`;
  },
};

const hostileExpression: SoakAction = {
  name: 'hostile expression',
  weight: 1,
  run: async (client, choice) => {
    const patterns = ['((a{1000}){1000}){1000}', '(a|aa)+$', '(x+x+)+y', `(${'a?'.repeat(500)})${'a'.repeat(500)}`];
    const body = {
      messages: [{ role: 'user', content: 'x' }],
      max_tokens: 4,
      guided_regex: patterns[choice % patterns.length],
    };
    const response = await client.post('/v1/chat/completions', body);
    await response.text();
    assert.ok([200, 400, 429].includes(response.status), String(response.status));
    return String(response.status);
  },
};

const oversized: SoakAction = {
  name: 'too large',
  weight: 3,
  run: async (client, choice) => {
    if (choice % 4 === 0) {
      const response = await client
        .post('/v1/chat/completions', { messages: [{ role: 'user', content: 'x'.repeat(2 ** 20) }] })
        .catch(() => null);
      return response === null ? 'connection closed' : refusedWith(response, 413);
    }
    const content = 'llama '.repeat(1000 + (choice % 5000));
    return `context ${await refusedWith(await client.post('/v1/chat/completions', { messages: [{ role: 'user', content }] }), 400, 'context_length_exceeded')}`;
  },
};

const wrongKey: SoakAction = {
  name: 'wrong key',
  weight: 3,
  run: async (client, choice) => {
    const headers: Record<string, string> = choice % 2 ? { authorization: 'Bearer wrong-key-1234' } : {};
    const response = await client.post('/v1/chat/completions', conversation(choice), { headers });
    return refusedWith(response, 401, 'invalid_api_key');
  },
};

const wrongPlace: SoakAction = {
  name: 'no such thing',
  weight: 2,
  run: async (client, choice) => {
    if (choice % 2) return `path ${await refusedWith(await client.get(`/v1/none/${choice}`), 404)}`;
    return `model ${await refusedWith(await client.post('/v1/chat/completions', { ...conversation(choice), model: 'none' }), 404, 'model_not_found')}`;
  },
};

const burst: SoakAction = {
  name: 'burst of 24',
  weight: 0.5,
  run: async (client, choice) => {
    const responses = await Promise.all(
      Array.from({ length: 24 }, (_, i) => client.post('/v1/chat/completions', conversation(choice + i))),
    );
    const statuses = await Promise.all(
      responses.map(async (response) => (await busy(response)) ?? (await response.json(), String(response.status))),
    );
    for (const status of statuses) assert.ok(['200', '429'].includes(status), status);
    return statuses.includes('429') ? 'some turned away' : 'all answered';
  },
};

const garbage: SoakAction = {
  name: 'no HTTP',
  weight: 1,
  run: async ({ url }, choice) => {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    socket.write(Buffer.from(Array.from({ length: 200 }, (_, i) => integer(randomStream(choice, 'garbage'), i, 256))));
    await sleep(20);
    socket.destroy();
    return 'closed';
  },
};

const onDemand: SoakAction = {
  name: 'model loaded on demand',
  weight: 1,
  run: async (client, choice) => {
    const response = await client.post('/v1/chat/completions', { ...conversation(choice), model: client.hubModel });
    const isBusy = await busy(response);
    if (isBusy) return isBusy;
    if (response.status === 404) return refusedWith(response, 404, 'model_not_found'); // once its files were deleted
    const text = await response.text();
    assert.equal(response.status, 200, text);
    const { choices } = JSON.parse(text) as { choices: { message: { content: string } }[] };
    checkKnown(client, `chat ${conversation(choice).seed}`, choices[0]!.message.content); // the same weights
    return 'answered';
  },
};

const reading: SoakAction = {
  name: 'reading',
  weight: 5,
  run: async (client, choice) => {
    const paths = ['/health', '/v1/models', '/metrics', '/api/tags', '/api/ps', '/openapi.json', '/api/version'];
    const path = paths[choice % paths.length]!;
    const response = await client.get(path);
    assert.equal(response.status, 200, path);
    await response.text();
    return 'answered';
  },
};

/** All behaviours. */
export const ACTIONS: readonly SoakAction[] = [
  chatWhole,
  chatStreamed,
  completion,
  structured,
  ollamaChat,
  embeddings,
  cancelled,
  vanishing,
  slowReader,
  malformed,
  hostileExpression,
  oversized,
  wrongKey,
  wrongPlace,
  burst,
  garbage,
  onDemand,
  reading,
];
