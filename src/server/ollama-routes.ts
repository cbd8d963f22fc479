/**
 * The routes of Ollama's API.
 */
import type { Lease } from './model-registry.ts';
import { deleteModel, installedModels, loadedModels, pullModel, showModel } from './ollama-models.ts';
import { chatChunks, generateChunks, joined, nanoseconds } from './ollama-replies.ts';
import {
  chatResponses,
  embedResponses,
  generateResponses,
  psResponses,
  pullResponses,
  showResponses,
  tagsResponses,
} from './ollama-response-schema.ts';
import {
  deleteSchema,
  embedSchema,
  generateSchema,
  keepAliveMs,
  ollamaChatSchema,
  pullSchema,
  showSchema,
} from './ollama-schema.ts';
import { embedAll } from './openai-embedding.ts';
import { refuseOverlong, textsIn } from './prompt-length.ts';
import { json, NO_BODY } from './response-schemas.ts';
import { type Call, fittingLease, get, post, type Route } from './route.ts';
import { versionSchema } from './status-schema.ts';
import { ndjsonResponse } from './streamed-response.ts';
import { promptIdsOf } from './text-thread.ts';
import type { z } from 'zod';

/** All rows, in the order of the document. */
export const OLLAMA_ROUTES: readonly Route[] = [
  post('/api/chat', 'Answer a conversation', ollamaChatSchema, chatResponses, async (call, body) => {
    const lease = await acquire(call, body);
    if (body.messages.length === 0)
      return loadedOnly(call, lease, body, { message: { role: 'assistant', content: '' } });
    await fittingLease(lease, [[body.messages, body.tools]], 'messages');
    return answer(call, chatChunks(call.context, call.scope, lease, body), body.stream);
  }),
  post('/api/generate', 'Continue or answer a prompt', generateSchema, generateResponses, async (call, body) => {
    const lease = await acquire(call, body);
    if (!body.prompt) return loadedOnly(call, lease, body, { response: '' });
    await fittingLease(lease, [[body.system, body.prompt]], 'prompt');
    return answer(call, generateChunks(call.context, call.scope, lease, body), body.stream);
  }),
  post('/api/embed', 'Turn texts into vectors of length 1', embedSchema, embedResponses, async (call, body) => {
    const lease = await acquire(call, body);
    try {
      return Response.json(await embedded(call, lease, body));
    } finally {
      lease.release();
    }
  }),
  get('/api/tags', 'List the models', tagsResponses, async (call) => Response.json(await installedModels(call))),
  get('/api/ps', 'List the models in memory', psResponses, async (call) => Response.json(await loadedModels(call))),
  post('/api/show', 'Describe a model', showSchema, showResponses, async (call, body) =>
    Response.json(await showModel(call, body)),
  ),
  post('/api/pull', 'Download a model from the hub', pullSchema, pullResponses, pullModel),
  {
    ...post('/api/delete', 'Delete a downloaded model', deleteSchema, NO_BODY, async (call, body) => {
      await deleteModel(call, body);
      return new Response(null, { status: 200 });
    }),
    method: 'DELETE',
  },
  get(
    '/api/version',
    'Version of the server',
    json(versionSchema),
    ({ context }) => Response.json({ version: context.version }),
    'open',
  ),
];

interface Common {
  readonly model: string;
  readonly keep_alive?: string | number | undefined;
}

/** Ollama's clients do not come back after a 503, so they wait for a model that is loading. */
async function acquire({ context, scope }: Call, { model, keep_alive: keepAlive }: Common): Promise<Lease> {
  const ms = keepAliveMs(keepAlive);
  const lease = await context.registry.acquire(model, {
    maxWaitMs: null,
    signal: scope.signal,
    ...(ms === undefined ? {} : { keepAliveMs: ms }),
  });
  scope.notes['model'] = lease.entry.id;
  return lease;
}

/** An empty request loads a model, or with keep_alive 0 unloads it. */
async function loadedOnly({ context }: Call, lease: Lease, body: Common, part: object): Promise<Response> {
  lease.release();
  const isUnload = keepAliveMs(body.keep_alive) === 0;
  if (isUnload) await context.registry.unload(lease.entry.id);
  return Response.json({
    model: lease.entry.id,
    created_at: new Date().toISOString(),
    ...part,
    done: true,
    done_reason: isUnload ? 'unload' : 'load',
  });
}

async function answer({ context, scope }: Call, chunks: AsyncGenerator<object>, stream = true): Promise<Response> {
  return stream ? ndjsonResponse(context, scope, chunks) : Response.json(await joined(chunks));
}

async function embedded({ scope }: Call, lease: Lease, body: z.output<typeof embedSchema>): Promise<object> {
  const { model } = lease;
  const { contextLength } = model.model;
  const texts = typeof body.input === 'string' ? [body.input] : body.input;
  if (!body.truncate) await refuseOverlong(model, texts.map(textsIn), 'input');
  const prompts = await promptIdsOf(
    model,
    texts.map((text) => ({ text, param: 'input' })),
    scope.signal,
    body.truncate ? contextLength : null,
  );
  const vectors = await embedAll(lease, prompts, scope.signal, 'input');
  return {
    model: lease.entry.id,
    embeddings: vectors.map(ofLengthOne),
    total_duration: nanoseconds(performance.now() - scope.startedAt),
    load_duration: nanoseconds(lease.loadMs),
    prompt_eval_count: prompts.reduce((sum, { length }) => sum + length, 0),
  };
}

function ofLengthOne(vector: Float32Array): number[] {
  const length = Math.hypot(...vector) || 1;
  return Array.from(vector, (value) => value / length);
}
