/**
 * What a refusal says and does beside its status: methods that are allowed, what the log keeps to itself, what stays as it was.
 */
import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { apiKeys } from './api-keys.ts';
import { createCriaServer, type CriaServer, type ServerOptions } from './server.ts';
import { toyCatalog } from './toy-catalog.ts';

const CHAT = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'hay' }];

interface Logged {
  readonly server: CriaServer;
  readonly log: () => string;
}

async function loggedServer(options: ServerOptions = {}): Promise<Logged> {
  let text = '';
  const sink = new Writable({ write: (part, _, done) => ((text += String(part)), done()) });
  const server = await createCriaServer(toyCatalog(), {
    registry: { pinned: ['toy'] },
    ...options,
    settings: { loadWaitMs: 60_000, ...options.settings },
    log: pino({ base: null }, sink),
  });
  return { server, log: () => text };
}

const post = async ({ app }: CriaServer, path: string, body: unknown, method = 'POST') =>
  app.request(path, { method, body: typeof body === 'string' ? body : JSON.stringify(body) });

const errorOf = async (response: Response) =>
  ((await response.json()) as { error: { message: string; type: string; param: string | null; code: string | null } })
    .error;

describe('refusals', () => {
  it('name the methods that a path has, and are logged where there is no path', async () => {
    const { server, log } = await loggedServer();
    const wrong = await server.app.request(CHAT);
    assert.deepEqual([wrong.status, wrong.headers.get('allow')], [405, 'POST']);
    assert.match((await errorOf(wrong)).message, /use POST$/);
    const put = await server.app.request('/v1/models/toy', { method: 'PUT' });
    assert.deepEqual([put.status, put.headers.get('allow')], [405, 'GET']);
    const nowhere = await server.app.request('/chat/completions', { headers: { 'x-request-id': 'lost-1' } });
    assert.deepEqual([nowhere.status, nowhere.headers.get('x-request-id')], [404, 'lost-1']);
    const line = JSON.parse(log().trim().split('\n').at(-1)!) as Record<string, unknown>;
    assert.deepEqual([line['id'], line['status']], ['lost-1', 404]);
    const metrics = await (await server.app.request('/metrics')).text();
    assert.match(metrics, /cria_http_requests_total\{route="none",status="404"\} 1/);
  });

  it('have the types of OpenAI: whatever the client can mend is an invalid request, told apart by its code', async () => {
    const { server } = await loggedServer({ settings: { apiKeys: apiKeys(['a-key-to-try']) } });
    const ask = (key: string, body: object) =>
      server.app.request(CHAT, { method: 'POST', headers: { 'x-api-key': key }, body: JSON.stringify(body) });
    const unknown = await errorOf(await ask('another-key', { messages }));
    assert.deepEqual([unknown.type, unknown.code], ['invalid_request_error', 'invalid_api_key']);
    const missing = await errorOf(await ask('a-key-to-try', { messages, model: 'none' }));
    assert.deepEqual([missing.type, missing.code], ['invalid_request_error', 'model_not_found']);
    server.drain();
    assert.equal((await errorOf(await server.app.request('/health'))).type, 'server_error');
  });

  it('quote the request to the client, but not in the log', async () => {
    const { server, log } = await loggedServer();
    const broken = await errorOf(await post(server, CHAT, 'secret words in place of JSON'));
    assert.match(broken.message, /not valid JSON/);
    const regex = await errorOf(
      await post(server, CHAT, { messages, max_tokens: 3, structured_outputs: { regex: 'secret(?=x)' } }),
    );
    assert.match(regex.message, /secret/);
    assert.equal(log().match(/"status":400/g)?.length, 2);
    assert.doesNotMatch(log(), /secret/);
  });

  it('of a deletion leave the model in memory', async () => {
    const { server } = await loggedServer();
    assert.equal((await post(server, CHAT, { messages, max_tokens: 1 })).status, 200);
    const answer = await post(server, '/api/delete', { model: 'toy' }, 'DELETE');
    assert.equal(answer.status, 403);
    assert.match(((await answer.json()) as { error: string }).error, /"toy" is what the server was started with/);
    assert.equal(server.registry.loaded().length, 1);
  });

  it('in the middle of a stream are logged and counted as what they are', async () => {
    const { server, log } = await loggedServer();
    const response = await post(server, CHAT, { messages, max_tokens: 150, ignore_eos: true, stream: true });
    const reader = response.body!.getReader();
    await reader.read();
    server.endReplies();
    while (!(await reader.read()).done);
    const line = JSON.parse(log().trim().split('\n').at(-1)!) as Record<string, unknown>;
    assert.deepEqual([line['route'], line['status'], line['error']], [CHAT, 503, 'the server is shutting down']);
    const metrics = await (await server.app.request('/metrics')).text();
    assert.match(metrics, /cria_http_requests_total\{route="\/v1\/chat\/completions",status="503"\} 1/);
  });

  it('tell that alternatives need log-probabilities', async () => {
    const { server } = await loggedServer();
    const answer = await post(server, CHAT, { messages, top_logprobs: 2 });
    assert.deepEqual([answer.status, (await errorOf(answer)).param], [400, 'top_logprobs']);
  });
});
