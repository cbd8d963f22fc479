/**
 * /v1/embeddings: the mean of the final hidden states of each text's tokens.
 */
import { contextLengthExceeded } from './api-error.ts';
import type { Lease } from './model-registry.ts';
import type { EmbeddingRequest } from './openai-completion-schema.ts';
import { promptList } from './prompt-list.ts';

/** The list object with one embedding a text. */
export async function embeddingList(lease: Lease, request: EmbeddingRequest, signal: AbortSignal): Promise<object> {
  const prompts = await promptList(lease.model, request.input, 'input', signal);
  const vectors = await embedAll(lease, prompts, signal, 'input');
  const isBase64 = request.encoding_format === 'base64';
  const promptTokens = prompts.reduce((sum, { length }) => sum + length, 0);
  return {
    object: 'list',
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: isBase64 ? base64(vector) : Array.from(vector),
    })),
    model: lease.entry.id,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
  };
}

/** Embeddings of token lists, computed together; throws a 400 for one that is longer than the context. */
export async function embedAll(
  { model, admission }: Lease,
  prompts: readonly (readonly number[])[],
  signal: AbortSignal,
  param: string,
): Promise<Float32Array[]> {
  const { contextLength } = model.model;
  for (const { length } of prompts)
    if (length > contextLength) throw contextLengthExceeded(length, null, contextLength, param);
  const leave = admission.enter(1);
  try {
    return await Promise.all(prompts.map((ids) => model.engine.embed(ids, { signal })));
  } finally {
    leave();
  }
}

/** Little-endian float32 values, as OpenAI's clients read them. */
function base64(vector: Float32Array): string {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64');
}
