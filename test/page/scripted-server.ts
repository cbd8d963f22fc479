/**
 * The real server with the page as it is built and a small model of random weights, but with replies that follow a script, so that what a
 * test sees is known beforehand.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Context, Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import { build } from 'vite';
import { loadTokenizerFolder } from '../../src/formats/tokenizer-files.ts';
import { Engine } from '../../src/infer/engine.ts';
import { ModelRunner } from '../../src/infer/model-runner.ts';
import { stateBytes } from '../../src/infer/model.ts';
import { TOY_CONFIG, testBackends, toyModel } from '../../src/infer/toy-model.ts';
import { apiKeys } from '../../src/server/api-keys.ts';
import type { App } from '../../src/server/app.ts';
import { listen } from '../../src/server/serve.ts';
import type { ModelCatalog, ServedModel } from '../../src/server/served-model.ts';
import { createCriaServer } from '../../src/server/server.ts';
import { toyCatalog } from '../../src/server/toy-catalog.ts';
import { llama3ChatFormat } from '../../src/tokenizer/chat-llama3.ts';
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts';

/** What a person writes, and how the model answers: a text, `endless` until the client leaves, or an error. `real` asks the model itself. */
export type Script = (prompt: string, body: ChatBody) => string | { error: string };

export const ENDLESS = 'endless';
export const REAL = 'real';

export interface ChatBody {
  readonly model: string;
  readonly messages?: readonly { readonly role: string; readonly content: string }[];
  readonly prompt?: readonly number[];
  readonly seed?: number;
  readonly temperature?: number;
  readonly max_tokens?: number;
  /** The header that balancers look at. */
  readonly conversation?: string | undefined;
}

export interface ScriptedServer {
  readonly url: string;
  /** Bodies of all chat and completion requests, in order. */
  readonly asked: ChatBody[];
  /** Replies that the client left before their end. */
  readonly left: { count: number };
  readonly tokenizer: Tokenizer;
  close(): Promise<void>;
}

/** How long a request waits for a model: briefly where a test wants to see the page wait, else longer than a busy machine needs. */
const LOAD_WAIT_MS = 500;
const PATIENT_MS = 60_000;

const root = join(import.meta.dirname, '../..');

/** Models by name, and whether they were trained on conversations. */
const MODELS: ReadonlyMap<string, boolean> = new Map([
  ['toy-chat', true],
  ['toy-text', false],
]);

export interface ScriptedOptions {
  /** Keys that are let in; everybody is by default. */
  readonly keys?: readonly string[];
  /** What loading a model waits for. */
  readonly whileLoading?: Promise<void>;
}

/** Builds the page and serves it. */
export async function startScriptedServer(script: Script, options: ScriptedOptions = {}): Promise<ScriptedServer> {
  const folder = await mkdtemp(join(tmpdir(), 'cria-page-'));
  const configFile = join(root, 'web/vite.config.ts');
  await build({ configFile, build: { outDir: folder, emptyOutDir: true }, logLevel: 'error' });
  const tokenizer = await loadTokenizerFolder(join(root, 'test/fixtures/tokenizer/vocabulary'));
  const settings = {
    apiKeys: options.keys ? apiKeys(options.keys) : null,
    loadWaitMs: options.whileLoading ? LOAD_WAIT_MS : PATIENT_MS,
  };
  const server = await createCriaServer(catalog(tokenizer, options), { pageFolder: folder, settings });
  const seen = { asked: [] as ChatBody[], left: { count: 0 } };
  const app = new Hono();
  app.post('/v1/chat/completions', (c) =>
    answer(c, server.app, script, seen, (text) => ({ delta: { content: text } })),
  );
  app.post('/v1/completions', (c) => answer(c, server.app, script, seen, (text) => ({ text })));
  app.all('*', (c) => server.app.fetch(c.req.raw));
  const listening = await listen(app as unknown as App, { host: '127.0.0.1', port: 0 });
  return {
    url: `${listening.url}/`,
    ...seen,
    tokenizer,
    close: async () => {
      await listening.close(0, () => server.endReplies());
      await server.registry.close();
      await rm(folder, { recursive: true });
    },
  };
}

function catalog(tokenizer: Tokenizer, { whileLoading }: ScriptedOptions): ModelCatalog {
  const toy = toyCatalog({ id: 'toy-chat' });
  const entryOf = async (id: string) => ({ ...(await toy.list())[0]!, id, path: id });
  return {
    ...toy,
    list: () => Promise.all([...MODELS.keys()].map(entryOf)),
    find: async (id) => (MODELS.has(id) ? entryOf(id) : null),
    load: async ({ id }) => {
      await whileLoading;
      return served(tokenizer, MODELS.get(id)!);
    },
    remove: async () => {},
  };
}

function served(tokenizer: Tokenizer, isChat: boolean): ServedModel {
  const backend = [...testBackends().values()].at(-1)!();
  const model = toyModel(backend, {}, { ...TOY_CONFIG, vocabSize: tokenizer.vocabSize });
  const engine = new Engine(new ModelRunner(model), tokenizer);
  return {
    engine,
    model,
    tokenizer,
    chatFormat: isChat ? llama3ChatFormat(tokenizer, 'llama3') : null,
    filesPath: null,
    stopIds: tokenizer.stopIds,
    maxNumSequences: 4,
    sizeBytes: stateBytes(model),
    dispose: () => engine.dispose(),
  };
}

/** Streams as OpenAI does: pieces of text, the reason it ended, usage, [DONE]. */
async function answer(
  c: Context,
  real: App,
  script: Script,
  { asked, left }: Pick<ScriptedServer, 'asked' | 'left'>,
  choiceOf: (text: string) => object,
): Promise<Response> {
  const request = c.req.raw.clone();
  const body = (await c.req.json()) as ChatBody;
  asked.push({ ...body, conversation: c.req.header('X-Conversation-Id') });
  const reply = script(body.messages?.at(-1)?.content ?? '', body);
  if (reply === REAL) return real.fetch(request);
  if (typeof reply === 'object') {
    return c.json({ error: { message: reply.error, type: 'invalid_request_error', param: null, code: null } }, 400);
  }
  return streamSSE(c, async (events) => {
    const send = (data: object) => events.writeSSE({ data: JSON.stringify(data) });
    events.onAbort(() => void left.count++);
    let count = 0;
    for (const piece of reply === ENDLESS ? endless() : (reply.match(/[\s\S]{1,4}/g) ?? [])) {
      if (events.aborted) return;
      await send({ choices: [{ index: 0, ...choiceOf(piece), finish_reason: null }] });
      count++;
      if (reply === ENDLESS) await sleep(5);
    }
    await send({ choices: [{ index: 0, ...choiceOf(''), finish_reason: 'stop' }] });
    await send({ choices: [], usage: { prompt_tokens: 11, completion_tokens: count } });
    await events.writeSSE({ data: '[DONE]' });
  });
}

function* endless(): Generator<string> {
  for (let i = 0; ; i++) yield `${i} `;
}
