/**
 * Requests of Ollama's API. Source: ollama/ollama docs/api.md and docs/modelfile.md (options).
 */
import { z } from 'zod';
import { ignored, optional, refused, stopField } from './request-fields.ts';

/** Only this value may be given, as any other would change replies in a way that is not offered. */
function only<T extends number>(value: T) {
  return optional(z.literal(value, { error: `is not supported but as ${value}` }));
}

const number = optional(z.number());

const options = z.strictObject({
  seed: optional(z.number().int().safe()),
  num_predict: optional(z.number().int().min(-2)),
  temperature: optional(z.number().min(0).max(10)),
  top_k: optional(z.number().int().min(0)),
  top_p: optional(z.number().min(0).max(1)),
  min_p: optional(z.number().min(0).max(1)),
  typical_p: optional(z.number().gt(0).max(1)),
  repeat_penalty: optional(z.number().gt(0)),
  presence_penalty: optional(z.number()),
  frequency_penalty: optional(z.number()),
  stop: stopField,
  mirostat: only(0),
  tfs_z: only(1),
  // What the server decides once for all requests.
  num_ctx: ignored,
  num_keep: ignored,
  num_batch: ignored,
  num_gpu: ignored,
  num_thread: ignored,
  main_gpu: ignored,
  low_vram: ignored,
  use_mmap: ignored,
  use_mlock: ignored,
  numa: ignored,
  f16_kv: ignored,
  logits_all: ignored,
  vocab_only: ignored,
  embedding_only: ignored,
  repeat_last_n: number.describe('accepted and ignored: the penalty looks at prompt and reply as a whole'),
  mirostat_eta: ignored,
  mirostat_tau: ignored,
  penalize_newline: ignored,
});
export type OllamaOptions = z.output<typeof options>;

/** Seconds, or a duration as Go writes it: "5m", "1h30m". */
const DURATION = /^-?(\d+(\.\d+)?|(\d+(\.\d+)?(ms|s|m|h))+)$/;

/** How long to keep the model: seconds, or a text such as "5m"; negative: for ever. */
const keepAlive = optional(
  z.union([z.number(), z.string().regex(DURATION, 'must be seconds or a duration such as "5m"')]),
);

/** Any JSON object, or one of a schema; '' is no format, as Ollama has it. */
const format = optional(z.union([z.literal('json'), z.literal(''), z.record(z.string(), z.unknown())]));

const shared = {
  model: z.string().min(1),
  format,
  options: optional(options),
  stream: optional(z.boolean()),
  keep_alive: keepAlive,
  think: optional(z.literal(false, { error: 'is not supported: these models do not think aloud' })),
  logprobs: optional(z.boolean()),
  top_logprobs: optional(z.number().int().min(0).max(20)),
};

const noImages = optional(z.array(z.unknown()).max(0, 'is not supported: this server reads text only'));

export const generateSchema = z.strictObject({
  ...shared,
  prompt: optional(z.string()),
  system: optional(z.string()),
  raw: optional(z.boolean()),
  images: noImages,
  suffix: refused('these models were not trained to fill in the middle'),
  template: refused('the model has its own template; use raw with a prompt that is written out'),
  context: ignored.describe('accepted and ignored: send the conversation to /api/chat'),
});
export type GenerateRequest = z.output<typeof generateSchema>;

const toolCall = z.object({
  function: z.object({ name: z.string(), arguments: z.record(z.string(), z.unknown()) }),
});

const message = z.object({
  role: z.enum(['system', 'user', 'assistant', 'tool']),
  content: z.string().default(''),
  images: noImages,
  tool_calls: optional(z.array(toolCall)),
});
export type OllamaMessage = z.output<typeof message>;

const tool = z.strictObject({
  type: z.literal('function'),
  function: z.strictObject({
    name: z.string(),
    description: optional(z.string()),
    parameters: optional(z.record(z.string(), z.unknown())),
  }),
});

export const ollamaChatSchema = z.strictObject({
  ...shared,
  messages: z.array(message).default([]),
  tools: optional(z.array(tool).max(128)),
});
export type OllamaChatRequest = z.output<typeof ollamaChatSchema>;

export const embedSchema = z.strictObject({
  model: z.string().min(1),
  input: z.union([z.string(), z.array(z.string()).max(2048)]),
  truncate: optional(z.boolean()),
  options: optional(options),
  keep_alive: keepAlive,
  dimensions: refused('the embedding has as many values as the model has dimensions'),
});

const named = { model: optional(z.string()), name: optional(z.string()) };
export const showSchema = z.strictObject({
  ...named,
  verbose: ignored,
  system: ignored,
  template: ignored,
  options: ignored,
});
export const pullSchema = z.strictObject({
  ...named,
  stream: optional(z.boolean()),
  insecure: ignored,
  username: ignored,
  password: ignored,
});
export const deleteSchema = z.strictObject(named);

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of a keep_alive; null: for ever; undefined: not given. */
export function keepAliveMs(value: string | number | undefined): number | null | undefined {
  if (value === undefined) return undefined;
  const text = String(value);
  if (text.startsWith('-')) return null;
  const parts = [...text.matchAll(/([\d.]+)(ms|[smh])?/g)];
  return parts.reduce((sum, [, digits, unit = 's']) => sum + Number(digits) * UNIT_MS[unit]!, 0);
}
