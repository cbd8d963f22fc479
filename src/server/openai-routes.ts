/**
 * The routes of OpenAI's API.
 */
import { chatSchema } from './openai-chat-schema.ts';
import { startChat } from './openai-chat.ts';
import { completionSchema, embeddingSchema } from './openai-completion-schema.ts';
import { startCompletion } from './openai-completion.ts';
import { embeddingList } from './openai-embedding.ts';
import {
  chatResponses,
  completionResponses,
  embeddingResponses,
  modelListResponses,
  modelResponses,
} from './openai-response-schema.ts';
import { acquireModel, fittingLease, get, post, type Call, type Route } from './route.ts';
import type { ModelEntry } from './served-model.ts';
import { sseResponse } from './streamed-response.ts';

/** All rows, in the order of the document. */
export const OPENAI_ROUTES: readonly Route[] = [
  post('/v1/chat/completions', 'Answer a conversation', chatSchema, chatResponses, async (call, body) => {
    const lease = await fittingLease(await acquireModel(call, body.model), [[body.messages, body.tools]], 'messages');
    return completion(call, startChat(call.context, call.scope, lease, body), body.stream ?? false);
  }),
  post('/v1/completions', 'Continue a text', completionSchema, completionResponses, async (call, body) => {
    const lease = await fittingLease(await acquireModel(call, body.model), eachOf(body.prompt), 'prompt');
    return completion(call, await startCompletion(call.context, call.scope, lease, body), body.stream ?? false);
  }),
  post('/v1/embeddings', 'Turn texts into vectors', embeddingSchema, embeddingResponses, async (call, body) => {
    const lease = await fittingLease(await acquireModel(call, body.model), eachOf(body.input), 'input');
    try {
      return Response.json(await embeddingList(lease, body, call.scope.signal));
    } finally {
      lease.release();
    }
  }),
  get('/v1/models', 'List the models', modelListResponses, async ({ context }) => {
    const entries = await context.registry.catalog.list();
    return Response.json({ object: 'list', data: entries.map(modelObject) });
  }),
  get('/v1/models/:id{.+}', 'Describe one model', modelResponses, async ({ context, param }) => {
    return Response.json(modelObject(await context.registry.find(param('id'))));
  }),
];

function eachOf(prompt: string | readonly unknown[]): readonly unknown[] {
  return typeof prompt === 'string' ? [prompt] : prompt;
}

interface Replies {
  whole(): Promise<object>;
  chunks(): AsyncGenerator<object>;
}

async function completion({ context, scope }: Call, replies: Replies, isStreamed: boolean): Promise<Response> {
  if (isStreamed) return sseResponse(context, scope, replies.chunks());
  return Response.json(await replies.whole());
}

function modelObject({ id, createdAt }: ModelEntry): object {
  return { id, object: 'model', created: Math.floor(createdAt.getTime() / 1000), owned_by: 'cria' };
}
