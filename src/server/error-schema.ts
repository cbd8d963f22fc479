/**
 * Refusals as api-error.ts writes them, for the OpenAPI document. Sources: OpenAI API reference, "Error codes"; Ollama docs/api.md.
 */
import { z } from 'zod';

const error = {
  message: z.string(),
  type: z.enum(['invalid_request_error', 'rate_limit_error', 'server_error']),
  param: z.string().nullable().describe('the field of the request that is wrong'),
  code: z.string().nullable(),
};
const promptTokens = z.number().int().min(0).optional().describe('if `code` is context_length_exceeded');

/** Where a stream breaks off. */
export const openaiErrorSchema = z.object({ error: z.object(error) });
/** In place of an answer. */
export const openaiRefusalSchema = z.object({
  error: z.object({ ...error, n_prompt_tokens: promptTokens, n_ctx: promptTokens }),
});

/** Both. */
export const ollamaErrorSchema = z.object({ error: z.string() });
