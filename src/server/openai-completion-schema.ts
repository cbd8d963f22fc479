/**
 * Requests to /v1/completions and /v1/embeddings. Source: OpenAI API reference.
 */
import { z } from 'zod';
import { ignored, optional, refused, samplingFields } from './request-fields.ts';

const MAX_PROMPTS = 2048; // as OpenAI's limit for embeddings
const tokens = z.array(z.number().int().min(0)).min(1);

/** One text or token list, or several. */
const promptField = z.union([
  z.string(),
  tokens,
  z.array(z.string()).min(1).max(MAX_PROMPTS),
  z.array(tokens).min(1).max(MAX_PROMPTS),
]);

export const completionSchema = z.strictObject({
  model: optional(z.string()),
  prompt: promptField,
  ...samplingFields,
  best_of: optional(z.number().int().min(1).max(20)),
  echo: optional(z.boolean()),
  logprobs: optional(z.number().int().min(0).max(20)),
  suffix: refused('these models were not trained to fill in the middle'),
});
export type CompletionRequest = z.output<typeof completionSchema>;

export const embeddingSchema = z.strictObject({
  model: optional(z.string()),
  input: promptField,
  encoding_format: optional(z.enum(['float', 'base64'])),
  dimensions: refused('the embedding has as many values as the model has dimensions'),
  user: ignored,
});
export type EmbeddingRequest = z.output<typeof embeddingSchema>;
