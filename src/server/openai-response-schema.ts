/**
 * What OpenAI's routes answer, for the OpenAPI document. Source: OpenAI API reference; `prompt_logprobs` is vLLM's.
 */
import { z } from 'zod';
import { json, jsonOrEvents } from './response-schemas.ts';

const count = z.number().int().min(0);
const index = count.describe('which of several');

const namedLogprob = z.object({
  token: z.string(),
  logprob: z.number(),
  bytes: z.array(z.number().int().min(0).max(255)).describe('UTF-8, as a token may hold part of a character'),
});
/** Ollama's routes answer the same. */
export const tokenLogprobSchema = namedLogprob.extend({ top_logprobs: z.array(namedLogprob) });
const chatLogprobs = z.object({ content: z.array(tokenLogprobSchema), refusal: z.null() }).nullable();

const promptUsage = { prompt_tokens: count, total_tokens: count };
const usage = z.object({
  ...promptUsage,
  completion_tokens: count,
  prompt_tokens_details: z.object({ cached_tokens: count }),
});

/** Members of every object of a reply. */
const frame = {
  id: z.string(),
  created: count.describe('Unix time in seconds'),
  model: z.string(),
  system_fingerprint: z.string(),
};

/** What was said of a prompt. */
const promptLogprobs = {
  prompt_logprobs: z
    .array(tokenLogprobSchema.nullable())
    .optional()
    .describe('if they were asked for: one entry for each token of the prompt, the first null'),
};

/** A whole reply. */
function completionOf(object: string, choice: z.ZodType): z.ZodObject {
  return z.object({ ...frame, object: z.literal(object), choices: z.array(choice).min(1), usage });
}

/** An object of a stream. */
function chunkOf(object: string, choice: z.ZodType): z.ZodType {
  const chunk = { ...frame, object: z.literal(object) };
  const withUsage = 'if `stream_options.include_usage` is true';
  return z.union([
    z.object({ ...chunk, choices: z.array(choice).length(1), usage: z.null().optional().describe(withUsage) }),
    z.object({ ...chunk, choices: z.array(z.unknown()).max(0), usage }).describe(`the last, ${withUsage}`),
  ]);
}

const chatFinishReason = z.enum(['stop', 'length', 'tool_calls']);
const toolCall = z.object({
  id: z.string(),
  type: z.literal('function'),
  function: z.object({ name: z.string(), arguments: z.string().describe('JSON') }),
});
const chatChoice = z.object({
  index,
  message: z.object({
    role: z.literal('assistant'),
    content: z.string().nullable().describe('null if there are only calls'),
    refusal: z.null(),
    tool_calls: z.array(toolCall).min(1).optional(),
  }),
  logprobs: chatLogprobs,
  finish_reason: chatFinishReason,
});

const callDelta = z.union([
  toolCall.extend({ index }).describe('a call begins'),
  z.object({ index, function: z.object({ arguments: z.string() }) }).describe('its arguments go on'),
]);
const delta = z.union([
  z.object({ role: z.literal('assistant'), content: z.literal('') }).describe('first'),
  z.object({ content: z.string() }),
  z.object({ tool_calls: z.array(callDelta).length(1) }),
  z.object({}).describe('last, beside the finish reason'),
]);
const chatChunkChoice = z.object({
  index,
  delta,
  logprobs: chatLogprobs,
  finish_reason: chatFinishReason.nullable(),
});

export const chatResponses = jsonOrEvents(
  completionOf('chat.completion', chatChoice).extend(promptLogprobs),
  chunkOf('chat.completion.chunk', chatChunkChoice),
);

const textFinishReason = z.enum(['stop', 'length']);
const textChoice = z.object({
  index,
  text: z.string(),
  logprobs: z
    .object({
      tokens: z.array(z.string()).describe('the echoed prompt, the reply, and the stop token if one ended it'),
      token_logprobs: z.array(z.number().nullable()),
      top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
      text_offset: z.array(count),
    })
    .nullable(),
});

export const completionResponses = jsonOrEvents(
  completionOf('text_completion', textChoice.extend({ finish_reason: textFinishReason, ...promptLogprobs })),
  chunkOf('text_completion', textChoice.extend({ finish_reason: textFinishReason.nullable() })),
);

const embedding = z.object({
  object: z.literal('embedding'),
  index,
  embedding: z.union([z.array(z.number()), z.string().describe('base64 of little-endian float32 values')]),
});

export const embeddingResponses = json(
  z.object({ object: z.literal('list'), data: z.array(embedding), model: z.string(), usage: z.object(promptUsage) }),
);

const model = z.object({
  id: z.string(),
  object: z.literal('model'),
  created: frame.created,
  owned_by: z.string(),
});

export const modelResponses = json(model);
export const modelListResponses = json(z.object({ object: z.literal('list'), data: z.array(model) }));
