/**
 * Pieces of request schemas that several routes share. `null` means the same as leaving a field out, as clients send both.
 */
import { z } from 'zod';

/** A field that may be left out or null; undefined then. */
export function optional<T extends z.ZodType>(schema: T) {
  return schema.nullish().transform((value): z.output<T> | undefined => value ?? undefined);
}

/** A field that is accepted and changes nothing here. */
export const ignored = z.unknown().optional().describe('accepted and ignored');

/** A field that is known elsewhere and would change the answer: giving it is an error that says why. */
export function refused(why: string) {
  return z
    .null({ error: `is not supported: ${why}` })
    .optional()
    .describe(`not supported: ${why}`);
}

const MAX_STOP_STRINGS = 16;
const stopString = z.string().min(1).max(1000);

/** One stop string or several. */
export const stopField = optional(z.union([stopString, z.array(stopString).max(MAX_STOP_STRINGS)]));

/** Token ids by their id as a JSON key, to what is added to their logits. */
const logitBiasField = optional(
  z.record(z.string().regex(/^\d{1,9}$/, 'must be a token id'), z.number().min(-100).max(100)),
);

const seedField = optional(z.number().int().safe());
const tokenId = z.number().int().min(0);
const count = z.number().int().min(1);

/** Constraints on the reply, in vLLM's shape. */
const structuredOutputs = z.strictObject({
  json: optional(z.union([z.record(z.string(), z.unknown()), z.string()])),
  regex: optional(z.string()),
  choice: optional(z.array(z.string()).min(1)),
  grammar: optional(z.string()),
});

/** What OpenAI's chat and text completions share: sampling, limits, constraints. Source: OpenAI API reference; vLLM's extra parameters. */
export const samplingFields = {
  temperature: optional(z.number().min(0).max(2)),
  top_p: optional(z.number().min(0).max(1)),
  n: optional(count.max(128)),
  stop: stopField,
  seed: seedField,
  max_tokens: optional(count),
  presence_penalty: optional(z.number().min(-2).max(2)),
  frequency_penalty: optional(z.number().min(-2).max(2)),
  logit_bias: logitBiasField,
  stream: optional(z.boolean()),
  stream_options: optional(
    z.strictObject({
      include_usage: optional(z.boolean()),
      include_obfuscation: ignored,
    }),
  ),
  top_k: optional(z.number().int().min(-1)).describe('0 or -1: all tokens'),
  min_p: optional(z.number().min(0).max(1)),
  typical_p: optional(z.number().gt(0).max(1)),
  repetition_penalty: optional(z.number().gt(0)),
  stop_token_ids: optional(z.array(tokenId).max(1000)),
  ignore_eos: optional(z.boolean()),
  min_tokens: optional(z.number().int().min(0)),
  structured_outputs: optional(structuredOutputs),
  guided_json: structuredOutputs.shape.json,
  guided_regex: structuredOutputs.shape.regex,
  guided_choice: structuredOutputs.shape.choice,
  guided_grammar: structuredOutputs.shape.grammar,
  prompt_logprobs: optional(z.number().int().min(0).max(20)),
  user: ignored,
  metadata: ignored,
  store: ignored,
  service_tier: ignored,
  safety_identifier: ignored,
  prompt_cache_key: ignored,
  prompt_cache_retention: ignored,
};

/** The object those fields make. */
const samplingSchema = z.object(samplingFields);
export type SamplingFields = z.output<typeof samplingSchema>;
