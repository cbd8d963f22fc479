/**
 * Sampling fields of OpenAI's requests as the engine takes them.
 */
import { randomInt } from 'node:crypto';
import type { SamplingParams } from '../infer/sampling-params.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { invalidField } from './api-error.ts';
import type { ReplyOptions } from './replies.ts';
import type { SamplingFields } from './request-fields.ts';
import type { ServedModel } from './served-model.ts';

/** OpenAI's default: the distribution as it is. */
const OPENAI_TEMPERATURE = 1;

/** Options of a reply but for its constraint. `maxTokens` is what the request or the route's default says; null: what the context leaves. */
export function samplingRequest(
  fields: SamplingFields,
  maxTokens: number | null,
  { stopIds, tokenizer }: Pick<ServedModel, 'stopIds' | 'tokenizer'>,
): ReplyOptions {
  if (fields.stream && fields.prompt_logprobs !== undefined) {
    throw invalidField('prompt_logprobs', 'prompt_logprobs: come with the whole reply only; leave out stream');
  }
  const extraStopIds = fields.stop_token_ids ?? [];
  checkTokenIds(extraStopIds, 'stop_token_ids', tokenizer);
  return {
    maxTokens,
    sampling: samplingParams(fields),
    seed: seedOf(fields.seed),
    stopIds: fields.ignore_eos ? extraStopIds : [...stopIds, ...extraStopIds],
    stopStrings: typeof fields.stop === 'string' ? [fields.stop] : (fields.stop ?? []),
    ...(fields.min_tokens === undefined ? {} : { minTokens: fields.min_tokens }),
    ...(fields.logit_bias === undefined ? {} : { logitBias: biasOf(fields.logit_bias, tokenizer) }),
    ...(fields.prompt_logprobs === undefined ? {} : { promptLogprobs: fields.prompt_logprobs }),
  };
}

function samplingParams(fields: SamplingFields): Partial<SamplingParams> {
  const { top_k: topK } = fields;
  return {
    temperature: fields.temperature ?? OPENAI_TEMPERATURE,
    topP: fields.top_p ?? 1,
    topK: topK === undefined || topK <= 0 ? null : topK,
    minP: fields.min_p ?? 0,
    typicalP: fields.typical_p ?? 1,
    repetitionPenalty: fields.repetition_penalty ?? 1,
    presencePenalty: fields.presence_penalty ?? 0,
    frequencyPenalty: fields.frequency_penalty ?? 0,
  };
}

function biasOf(bias: Readonly<Record<string, number>>, tokenizer: Tokenizer): ReadonlyMap<number, number> {
  const entries = Object.entries(bias).map(([id, value]) => [Number(id), value] as const);
  checkTokenIds(
    entries.map(([id]) => id),
    'logit_bias',
    tokenizer,
  );
  return new Map(entries);
}

/** Throws a 400 that names the field unless the tokenizer has all these ids. */
export function checkTokenIds(
  ids: readonly number[],
  param: string,
  { vocabSize }: Pick<Tokenizer, 'vocabSize'>,
): void {
  const wrong = ids.find((id) => id >= vocabSize);
  if (wrong === undefined) return;
  throw invalidField(param, `${param}: there is no token ${wrong}; this model's ids go from 0 to ${vocabSize - 1}`);
}

/** The seed given, or a random one. Negative ones, which OpenAI takes too, stand for the highest. */
export function seedOf(seed: number | undefined): number {
  if (seed === undefined) return randomInt(2 ** 32);
  return seed >= 0 ? seed : 2 ** 53 + seed;
}
