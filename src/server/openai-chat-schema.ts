/**
 * Requests to /v1/chat/completions. Source: OpenAI API reference, "Create chat completion".
 */
import { z } from 'zod';
import { ignored, optional, refused, samplingFields } from './request-fields.ts';

const textPart = z.object({
  type: z.literal('text', { error: 'must be "text": this server reads text only' }),
  text: z.string(),
});
const refusalPart = z.object({ type: z.literal('refusal'), refusal: z.string() });

/** Text, or parts that are all text. */
const content = z.union([z.string(), z.array(textPart)]);
const assistantContent = z.union([z.string(), z.array(z.union([textPart, refusalPart]))]);

const toolCall = z.object({
  id: z.string(),
  type: z.literal('function'),
  function: z.object({ name: z.string(), arguments: z.string() }),
});

/** Further members of a message (name, refusal, annotations) are left out: clients send back whole replies. */
export const messageSchema = z.discriminatedUnion('role', [
  z.object({ role: z.literal('system'), content }),
  z.object({ role: z.literal('developer'), content }),
  z.object({ role: z.literal('user'), content }),
  z.object({
    role: z.literal('assistant'),
    content: optional(assistantContent),
    tool_calls: optional(z.array(toolCall)),
  }),
  z.object({ role: z.literal('tool'), content, tool_call_id: z.string() }),
]);
export type OpenaiMessage = z.output<typeof messageSchema>;

const MAX_TOOLS = 128;

export const toolSchema = z.strictObject({
  type: z.literal('function'),
  function: z.strictObject({
    name: z.string().regex(/^[\w.-]{1,64}$/, 'must be 1 to 64 letters, digits, "_", "-" or "."'),
    description: optional(z.string()),
    parameters: optional(z.record(z.string(), z.unknown())),
    strict: optional(z.boolean()),
  }),
});
export type OpenaiTool = z.output<typeof toolSchema>;

const toolChoice = z.union([
  z.enum(['none', 'auto', 'required']),
  z.strictObject({ type: z.literal('function'), function: z.strictObject({ name: z.string() }) }),
]);

const responseFormatSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text') }),
  z.strictObject({
    type: z.literal('json_object'),
    schema: optional(z.record(z.string(), z.unknown())).describe("as llama.cpp's server takes it"),
  }),
  z.strictObject({
    type: z.literal('json_schema'),
    json_schema: z.strictObject({
      name: optional(z.string()),
      description: optional(z.string()),
      schema: optional(z.record(z.string(), z.unknown())),
      strict: optional(z.boolean()),
    }),
  }),
]);

export const chatSchema = z.strictObject({
  model: optional(z.string()),
  messages: z.array(messageSchema).min(1).max(10_000),
  ...samplingFields,
  max_completion_tokens: samplingFields.max_tokens,
  logprobs: optional(z.boolean()),
  top_logprobs: optional(z.number().int().min(0).max(20)),
  tools: optional(z.array(toolSchema).max(MAX_TOOLS)),
  tool_choice: optional(toolChoice),
  parallel_tool_calls: optional(z.boolean()),
  response_format: optional(responseFormatSchema),
  modalities: optional(z.array(z.literal('text', { error: 'must be "text": this server writes text only' }))),
  prediction: ignored,
  functions: refused('it was replaced by tools'),
  function_call: refused('it was replaced by tool_choice'),
  audio: refused('this server writes text only'),
  web_search_options: refused('this server searches nothing'),
});
export type ChatRequest = z.output<typeof chatSchema>;
