/**
 * What Ollama's routes answer, for the OpenAPI document. Source: ollama/ollama docs/api.md.
 */
import { z } from 'zod';
import { tokenLogprobSchema } from './openai-response-schema.ts';
import { json, jsonOrLines, type ResponseSchemas } from './response-schemas.ts';

const count = z.number().int().min(0);
const bytes = count.describe('bytes');
const nanoseconds = count.describe('nanoseconds');
const time = z.string().meta({ format: 'date-time' });

const frame = { model: z.string(), created_at: time };
const logprobs = z.array(tokenLogprobSchema).optional();
const endOfReply = {
  ...frame,
  done: z.literal(true),
  done_reason: z.enum(['stop', 'length']),
  total_duration: nanoseconds,
  load_duration: nanoseconds,
  prompt_eval_count: count,
  prompt_eval_duration: nanoseconds,
  eval_count: count,
  eval_duration: nanoseconds,
};
const loadedOnly = { ...frame, done: z.literal(true), done_reason: z.enum(['load', 'unload']) };

/** A reply whose members are `piece`, and at its end those of `last` too. */
function replyResponses(piece: z.ZodRawShape, last: z.ZodRawShape): ResponseSchemas {
  const end = z.object({ ...endOfReply, ...piece, ...last });
  const loaded = z.object({ ...loadedOnly, ...piece }).describe('if the request was empty');
  const part = z.object({ ...frame, ...piece, done: z.literal(false), logprobs });
  return jsonOrLines(z.union([end.extend({ logprobs }), loaded]), z.union([part, end]));
}

const toolCall = z.object({
  function: z.object({ index: count, name: z.string(), arguments: z.record(z.string(), z.unknown()) }),
});
const message = z.object({
  role: z.literal('assistant'),
  content: z.string(),
  tool_calls: z.array(toolCall).min(1).optional(),
});

export const chatResponses = replyResponses({ message }, {});
export const generateResponses = replyResponses(
  { response: z.string() },
  { context: z.array(count).describe('tokens of prompt and reply') },
);

export const embedResponses = json(
  z.object({
    model: z.string(),
    embeddings: z.array(z.array(z.number())),
    total_duration: nanoseconds,
    load_duration: nanoseconds,
    prompt_eval_count: count,
  }),
);

const success = z.object({ status: z.literal('success') });
const pullProgress = z.object({ status: z.string(), digest: z.string(), total: bytes, completed: bytes });
export const pullResponses = jsonOrLines(
  success,
  z.union([z.object({ status: z.literal('pulling manifest') }), pullProgress, success]),
);

const details = z.object({
  parent_model: z.string(),
  format: z.string(),
  family: z.string(),
  families: z.array(z.string()).nullable(),
  parameter_size: z.string(),
  quantization_level: z.string(),
});
const installed = z.object({
  name: z.string(),
  model: z.string(),
  modified_at: time,
  size: bytes,
  digest: z.string(),
  details,
});
const loaded = installed.extend({ expires_at: time, size_vram: bytes, context_length: count });

export const tagsResponses = json(z.object({ models: z.array(installed) }));
export const psResponses = json(z.object({ models: z.array(loaded) }));

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);

export const showResponses = json(
  z.object({
    modelfile: z.string(),
    parameters: z.string(),
    template: z.string(),
    details,
    model_info: z.object({ 'general.architecture': z.string(), 'general.parameter_count': count }).catchall(scalar),
    capabilities: z.array(z.enum(['completion', 'embedding', 'tools'])),
    modified_at: time,
  }),
);
