import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { apiKeys } from './api-keys.ts';
import { createCriaServer, type CriaServer, type ServerOptions } from './server.ts';
import { toyCatalog, type ToyOptions } from './toy-catalog.ts';

const TOOL = { type: 'function', function: { name: 'weather' } };
const CHAT = '/v1/chat/completions';
const asking = (fields: object = {}) => ({
  messages: [{ role: 'user', content: 'hay' }],
  max_tokens: 4,
  seed: 1,
  ...fields,
});

interface Tested extends CriaServer {
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
}

/** How long requests wait for the model: longer than a busy machine needs to load it. */
const PATIENT = { loadWaitMs: 60_000 };

async function serverOf(options: ServerOptions = {}, toy: ToyOptions = {}): Promise<Tested> {
  const settings = { ...PATIENT, ...options.settings };
  const server = await createCriaServer(toyCatalog(toy), { registry: { pinned: ['toy'] }, ...options, settings });
  const call = async (path: string, init: RequestInit) =>
    server.app.fetch(new Request(`http://localhost${path}`, init));
  return {
    ...server,
    get: (path, headers = {}) => call(path, { headers }),
    post: (path, body, headers = {}) =>
      call(path, {
        method: 'POST',
        headers,
        body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
      }),
  };
}

type ErrorBody = {
  error: { message: string; param: string | null; code: string | null; n_prompt_tokens?: number; n_ctx?: number };
};

async function refusal(response: Response): Promise<ErrorBody['error'] & { status: number }> {
  return { status: response.status, ...((await response.json()) as ErrorBody).error };
}

describe('server: bodies', () => {
  it('refuses what is no JSON object, naming what is wrong', async () => {
    const server = await serverOf({ settings: { maxBodyBytes: 20_000 } });
    const cases: [unknown, number, RegExp][] = [
      ['', 400, /empty/],
      ['{', 400, /not valid JSON/],
      [Uint8Array.of(0x22, 0xff, 0x22), 400, /not valid JSON/],
      ['['.repeat(10_000), 400, /nested deeper than 64/],
      ['[]', 400, /expected object/],
      [{ messages: [] }, 400, /^messages:/],
      [asking({ temperature: 'hot' }), 400, /^temperature:/],
      [asking({ sampling: 1 }), 400, /^sampling: this field is not known/],
      [asking({ functions: [] }), 400, /^functions: .*replaced by tools/],
      [asking({ response_format: { type: 'text', schema: {} } }), 400, /^response_format\.schema: .*not known/],
      [asking({ tools: [{ ...TOOL, returns: {} }] }), 400, /^tools\[0\]\.returns: .*not known/],
      [asking({ tools: [TOOL], tool_choice: { ...TOOL, by: 1 } }), 400, /^tool_choice/],
      [asking({ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }), 400, /reads text only/],
      [asking({ user: 'x'.repeat(30_000) }), 413, /larger than/],
    ];
    for (const [body, status, message] of cases) {
      const error = await refusal(await server.post(CHAT, body));
      assert.equal(error.status, status, error.message);
      assert.match(error.message, message);
    }
  });

  it('accepts null for anything that may be left out', async () => {
    const server = await serverOf();
    const nothing = {
      temperature: null,
      stop: null,
      tools: null,
      n: null,
      stream: null,
      response_format: null,
      logit_bias: null,
    };
    assert.equal((await server.post(CHAT, asking(nothing))).status, 200);
  });

  it('tells how long an overlong prompt is', async () => {
    const server = await serverOf();
    const error = await refusal(await server.post('/v1/completions', { prompt: 'x'.repeat(300), max_tokens: 5 }));
    assert.deepEqual(
      [error.code, error.n_prompt_tokens, error.n_ctx, error.param],
      ['context_length_exceeded', 301, 256, 'prompt'],
    );
  });

  it('refuses two constraints at once', async () => {
    const server = await serverOf();
    const error = await refusal(
      await server.post(CHAT, asking({ guided_regex: 'a', response_format: { type: 'json_object' } })),
    );
    assert.match(error.message, /response_format and guided_regex cannot be used together/);
  });
});

describe('server: who may ask', () => {
  it('wants a key where keys are set, as Bearer or X-Api-Key, but for the state of health', async () => {
    const server = await serverOf({ settings: { apiKeys: apiKeys(['first-key-123', 'second-key-45']) } });
    assert.equal((await server.get('/health')).status, 200);
    for (const headers of [{}, { authorization: 'Bearer wrong-key-123' }, { 'x-api-key': 'first-key-12' }]) {
      const error = await refusal(await server.post(CHAT, asking(), headers as Record<string, string>));
      assert.deepEqual([error.status, error.code], [401, 'invalid_api_key']);
    }
    for (const headers of [{ authorization: 'Bearer second-key-45' }, { 'x-api-key': 'first-key-123' }]) {
      assert.equal((await server.post(CHAT, asking(), headers as Record<string, string>)).status, 200);
    }
  });

  it('limits the requests of each key', async () => {
    const server = await serverOf({
      settings: { apiKeys: apiKeys(['first-key-123', 'second-key-45']), requestsPerMinute: 2 },
    });
    const ask = (key: string) => server.get('/v1/models', { 'x-api-key': key });
    assert.deepEqual([(await ask('first-key-123')).status, (await ask('first-key-123')).status], [200, 200]);
    const third = await ask('first-key-123');
    assert.equal(third.status, 429);
    const retryAfter = Number(third.headers.get('retry-after'));
    assert.ok(retryAfter > 0 && retryAfter <= 30, `${retryAfter} s until the next of two a minute`);
    assert.equal((await ask('second-key-45')).status, 200);
  });

  it('keeps pages of other sites out unless they are let in', async () => {
    const closed = await serverOf({ settings: { allowedHosts: ['localhost'] } });
    assert.equal((await closed.get('/health', { origin: 'http://localhost' })).status, 200);
    assert.equal((await closed.post(CHAT, asking(), { origin: 'https://evil.example' })).status, 403);
    const rebound = await closed.app.fetch(new Request('http://evil.example/v1/models'));
    assert.equal(rebound.status, 403);
    const open = await serverOf({ settings: { corsOrigins: ['https://good.example'] } });
    const answer = await open.get('/v1/models', { origin: 'https://good.example' });
    assert.equal(answer.headers.get('access-control-allow-origin'), 'https://good.example');
    assert.equal((await open.get('/v1/models', { origin: 'https://evil.example' })).status, 403);
  });

  it('answers preflights without a key', async () => {
    const server = await serverOf({ settings: { apiKeys: apiKeys(['first-key-123']), corsOrigins: ['*'] } });
    const headers = { origin: 'https://any.example', 'access-control-request-headers': 'authorization' };
    const answer = await server.app.fetch(new Request(`http://localhost${CHAT}`, { method: 'OPTIONS', headers }));
    assert.equal(answer.status, 204);
    assert.equal(answer.headers.get('access-control-allow-headers'), 'authorization');
  });
});

describe('server: streams', () => {
  it('sends the role first, the reason once, usage if asked for, and DONE', async () => {
    const server = await serverOf();
    const response = await server.post(CHAT, asking({ stream: true, stream_options: { include_usage: true } }));
    assert.match(response.headers.get('content-type')!, /^text\/event-stream/);
    const events = (await response.text()).split('\n\n').filter(Boolean);
    assert.ok(events.every((event) => event.startsWith('data: ')));
    assert.equal(events.at(-1), 'data: [DONE]');
    const chunks = events.slice(0, -1).map(
      (event) =>
        JSON.parse(event.slice(6)) as {
          choices: { delta: object; finish_reason: string | null }[];
          usage: object | null;
        },
    );
    assert.deepEqual(chunks[0]!.choices[0]!.delta, { role: 'assistant', content: '' });
    assert.equal(chunks.filter(({ choices }) => choices[0]?.finish_reason).length, 1);
    assert.deepEqual(chunks.at(-1)!.choices, []);
    assert.ok(chunks.at(-1)!.usage !== null && chunks.at(-2)!.usage === null);
  });

  it('ends with an error event when the server goes, and frees the blocks', async () => {
    const server = await serverOf();
    const response = await server.post(CHAT, asking({ stream: true, max_tokens: 150, ignore_eos: true }));
    const reader = response.body!.getReader();
    await reader.read();
    server.endReplies();
    let text = '';
    for (let part = await reader.read(); !part.done; part = await reader.read())
      text += new TextDecoder().decode(part.value);
    assert.match(text, /data: \{"error":\{"message":"the server is shutting down"/);
    assert.doesNotMatch(text, /DONE/);
    const { engine } = server.registry.loaded()[0]!.model;
    assert.equal(engine.stats().numRunning, 0);
    engine.checkInvariants();
  });

  it('cancels exactly the request whose reader left', async () => {
    const server = await serverOf();
    const ask = (seed: number) =>
      server.post(CHAT, asking({ stream: true, max_tokens: 100, ignore_eos: true, seed, n: 2 }));
    const [leaving, staying] = await Promise.all([ask(1), ask(2)]);
    const reader = leaving.body!.getReader();
    await reader.read();
    await reader.cancel();
    assert.match(await staying.text(), /\[DONE\]/);
    server.registry.loaded()[0]!.model.engine.checkInvariants();
  });

  it('gives up on a reader that stopped reading', async () => {
    const server = await serverOf({ settings: { stallMs: 30 } });
    const response = await server.post(CHAT, asking({ stream: true, max_tokens: 150, ignore_eos: true }));
    const isOver = async () => (await (await server.get('/metrics')).text()).includes(`requests_total{route="${CHAT}"`);
    while (!(await isOver())) await new Promise((resolve) => setTimeout(resolve, 5));
    await assert.rejects(response.text());
    server.registry.loaded()[0]!.model.engine.checkInvariants();
  });

  it('ends a request that takes too long with 504', async () => {
    const server = await serverOf({ settings: { requestTimeoutMs: 20 } });
    await server.registry.acquire('toy', { maxWaitMs: null, signal: new AbortController().signal });
    const error = await refusal(await server.post(CHAT, asking({ max_tokens: 140, ignore_eos: true, n: 16 })));
    assert.equal(error.status, 504);
  });
});

describe('server: same request, same answer', () => {
  it('gives the same text for a seed: alone, in company, cached, streamed, with one and two threads', async () => {
    const request = asking({
      max_tokens: 40,
      seed: 5,
      temperature: 0.9,
      messages: [{ role: 'user', content: 'the llama and the hay '.repeat(4) }],
    });
    const texts = new Set<string>();
    for (const backend of ['native, 1 thread', 'native, 2 threads']) {
      const server = await serverOf({}, { backend });
      const ask = async (body: object) =>
        ((await (await server.post(CHAT, body)).json()) as { choices: { message: { content: string } }[] }).choices[0]!
          .message.content;
      texts.add(await ask(request));
      const company = [1, 2, 3, 4].map((seed) => ask({ ...request, seed }));
      texts.add(await ask(request));
      await Promise.all(company);
    }
    assert.equal(texts.size, 1);
  });
});

describe('server: what it tells of itself', () => {
  it('logs one line a request, without what was said', async () => {
    let text = '';
    const sink = new Writable({ write: (part, _, done) => ((text += String(part)), done()) });
    const server = await serverOf({ log: pino({ base: null }, sink) });
    const response = await server.post(CHAT, asking({ messages: [{ role: 'user', content: 'a secret' }] }), {
      'x-request-id': 'abc-1',
    });
    assert.equal(response.headers.get('x-request-id'), 'abc-1');
    const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
    const line = JSON.parse(text.trim().split('\n').at(-1)!) as Record<string, unknown>;
    assert.deepEqual(
      [line['id'], line['route'], line['status'], line['model'], line['replyTokens']],
      ['abc-1', CHAT, 200, 'toy', 4],
    );
    assert.ok(!text.includes('secret') && !text.includes(JSON.stringify(choices[0]!.message.content).slice(1, -1)));
  });

  it('counts what Prometheus asks for', async () => {
    const server = await serverOf();
    await server.post(CHAT, asking({ ignore_eos: true }));
    await server.post(CHAT, '{');
    const text = await (await server.get('/metrics')).text();
    assert.match(text, /cria_http_requests_total\{route="\/v1\/chat\/completions",status="200"\} 1/);
    assert.match(text, /cria_http_requests_total\{route="\/v1\/chat\/completions",status="400"\} 1/);
    assert.match(text, /cria_generation_tokens_total\{model="toy"\} 4/);
    assert.match(text, /cria_time_to_first_token_seconds_count\{model="toy"\} 1/);
    assert.match(text, /cria_kv_blocks_used\{model="toy"\} 0/);
    for (const line of [
      '# TYPE cria_kv_blocks_total gauge',
      '# TYPE cria_batch_size gauge',
      '# TYPE cria_preemptions_total counter',
      '# TYPE cria_prefix_cache_hit_tokens_total counter',
    ])
      assert.ok(text.includes(line), line);
    assert.match(text, /cria_prefix_cache_queried_tokens_total\{model="toy"\} [1-9]/);
    const again = await (await server.get('/metrics')).text();
    const queried = /cria_prefix_cache_queried_tokens_total\{.*/;
    assert.equal(queried.exec(again)![0], queried.exec(text)![0], 'asking does not count');
  });

  it('describes every route in its OpenAPI document', async () => {
    const server = await serverOf();
    const document = (await (await server.get('/openapi.json')).json()) as {
      paths: Record<string, Record<string, { requestBody?: { content: object } }>>;
    };
    for (const path of [
      CHAT,
      '/v1/completions',
      '/v1/embeddings',
      '/v1/models/{id}',
      '/api/chat',
      '/tokenize',
      '/health',
    ])
      assert.ok(document.paths[path], path);
    assert.ok(document.paths[CHAT]!['post']!.requestBody);
  });

  it('says that it goes', async () => {
    const server = await serverOf();
    server.drain();
    assert.equal((await server.get('/health')).status, 503);
    assert.equal((await server.get('/health/live')).status, 200);
  });
});

describe('server: models', () => {
  it('turns away what would wait too long, and says when to come back', async () => {
    const server = await serverOf({ registry: { pinned: ['toy'], maxWaiting: 1 } }, { engine: { maxNumSequences: 1 } });
    const answers = await Promise.all([1, 2, 3].map(() => server.post(CHAT, asking({ max_tokens: 60 }))));
    assert.deepEqual(answers.map(({ status }) => status).toSorted(), [200, 200, 429]);
    assert.match(answers.find(({ status }) => status === 429)!.headers.get('retry-after')!, /^\d+$/);
  });

  it('says when a model that is loading will be there, and loads it once', async () => {
    const gate = new EventEmitter();
    const catalog = toyCatalog({ whileLoading: () => once(gate, 'open').then(() => {}) });
    const server = await createCriaServer(catalog, { settings: { loadWaitMs: 0 }, registry: { pinned: ['toy'] } });
    const ask = async () =>
      server.app.fetch(new Request(`http://localhost${CHAT}`, { method: 'POST', body: JSON.stringify(asking()) }));
    const [first, second] = await Promise.all([ask(), ask()]);
    assert.deepEqual([first.status, second.status], [503, 503]);
    assert.match(first.headers.get('retry-after')!, /^\d+$/);
    const health = await server.app.fetch(new Request('http://localhost/health'));
    assert.equal(health.status, 503);
    assert.match(
      ((await health.json()) as ErrorBody).error.message,
      new RegExp(`"toy" is being loaded \\(50 %\\); try again in ${health.headers.get('retry-after')} s`),
    );
    gate.emit('open');
    while ((await ask()).status !== 200);
    assert.equal(catalog.loads.count, 1);
  });

  it('tells by how far loading came how long it will still take', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
    const now = t.mock.method(performance, 'now', () => 0);
    const report: { progress: (share: number) => void } = { progress: () => {} };
    const catalog = {
      ...toyCatalog(),
      load: (_: unknown, onProgress: (share: number) => void) => {
        report.progress = onProgress;
        return new Promise<never>(() => {});
      },
    };
    const server = await createCriaServer(catalog, { registry: { pinned: ['toy'] } });
    const { signal } = new AbortController();
    void server.registry.acquire('toy', { maxWaitMs: null, signal });
    const retryAfter = async (elapsedMs: number, share: number) => {
      now.mock.mockImplementation(() => elapsedMs);
      report.progress(share);
      return (await server.app.request('/health')).headers.get('retry-after');
    };
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await retryAfter(4000, 0.25), '12');
    assert.equal(await retryAfter(15_000, 0.75), '5');
    assert.equal(await retryAfter(19_900, 0.995), '1');
    assert.equal(await retryAfter(60_000, 0.01), '30', 'never longer than half a minute');
  });

  it('unloads a model that nobody used for a while, and loads it again', async () => {
    const catalog = toyCatalog();
    const server = await createCriaServer(catalog, { settings: PATIENT, registry: { keepAliveMs: 20 } });
    const body = JSON.stringify(asking({ model: 'toy' }));
    const ask = async () =>
      (await server.app.fetch(new Request(`http://localhost${CHAT}`, { method: 'POST', body }))).status;
    assert.equal(await ask(), 200);
    while (catalog.disposals.count === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(server.registry.loaded(), []);
    assert.equal(await ask(), 200);
    assert.equal(catalog.loads.count, 2);
  });

  it('knows no model any more whose files were deleted while it was being loaded', async () => {
    const gate = new EventEmitter();
    const catalog = toyCatalog({
      whileLoading: () => once(gate, 'open').then(() => Promise.reject(new Error('ENOENT'))),
    });
    const server = await createCriaServer(catalog, { settings: PATIENT });
    const body = JSON.stringify(asking({ model: 'toy' }));
    const answer = server.app.fetch(new Request(`http://localhost${CHAT}`, { method: 'POST', body }));
    while (catalog.loads.count === 0) await new Promise((resolve) => setImmediate(resolve));
    await catalog.remove((await catalog.find('toy'))!);
    gate.emit('open');
    const error = await refusal(await answer);
    assert.deepEqual([error.status, error.code], [404, 'model_not_found']);
  });

  it('refuses a schema of a strict tool that it cannot keep to, and takes any object for one that is not strict', async () => {
    const server = await serverOf({}, { model: { contextLength: 2048 } });
    const call = (strict: boolean | undefined) => {
      const parameters = { type: 'object', properties: { x: { not: {} } } };
      return server.post(CHAT, asking({ tools: [{ type: 'function', function: { name: 'f', parameters, strict } }] }));
    };
    const error = await refusal(await call(true));
    assert.equal(error.status, 400);
    assert.equal(error.param, 'tools#/0/parameters/properties/x/not');
    for (const strict of [false, undefined]) assert.equal((await call(strict)).status, 200);
  });

  it('gives tokens in the shapes of llama.cpp and vLLM, and their text back', async () => {
    const server = await serverOf();
    const ask = async (path: string, body: object) =>
      (await (await server.post(path, body)).json()) as { tokens: number[]; count: number; content: string };
    const text = 'the llama and é 🦙';
    const { tokens } = await ask('/tokenize', { content: text });
    assert.equal((await ask('/detokenize', { tokens })).content, text);
    assert.deepEqual((await ask('/tokenize', { prompt: text, add_special_tokens: false })).tokens, tokens);
    const messages = [{ role: 'user', content: text }];
    const whole = await ask('/tokenize', { messages });
    const bare = await ask('/tokenize', { messages, add_generation_prompt: false });
    assert.equal(whole.count, whole.tokens.length);
    assert.deepEqual(whole.tokens.slice(0, bare.count), bare.tokens);
    assert.match((await ask('/detokenize', { tokens: whole.tokens.slice(bare.count) })).content, /assistant/);
  });

  it('continues the text of messages where a model has no chat format', async () => {
    const server = await serverOf({}, { isBase: true });
    const answer = (await (await server.post(CHAT, asking())).json()) as { usage: { prompt_tokens: number } };
    const raw = (await (await server.post('/v1/completions', { prompt: 'hay', max_tokens: 4 })).json()) as {
      usage: { prompt_tokens: number };
    };
    assert.equal(answer.usage.prompt_tokens, raw.usage.prompt_tokens);
    assert.match(
      (await refusal(await server.post(CHAT, asking({ tools: [{ type: 'function', function: { name: 'f' } }] }))))
        .message,
      /no chat format/,
    );
  });
});
