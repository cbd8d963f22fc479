/**
 * How the next token is chosen from logits: the parameters, their defaults and limits. In which order they act: sampler.ts.
 */
import { ConfigError } from '../util/errors.ts';

export interface SamplingParams {
  /** Divides the logits; 0 takes the most likely token (the lowest id of equals). */
  readonly temperature: number;
  /** Only the so many most likely tokens; null keeps all. */
  readonly topK: number | null;
  /** Only the most likely tokens before which less than this share of the probability lies; 1 keeps all. */
  readonly topP: number;
  /** Only tokens at least so many times as likely as the most likely one; 0 keeps all (arXiv:2407.01082). */
  readonly minP: number;
  /** Only the tokens whose surprise is nearest to the expected one, until they have this share of the probability; 1 keeps all (arXiv:2202.00666). */
  readonly typicalP: number;
  /** Divides positive logits, and multiplies negative ones, of tokens in prompt or reply; 1 changes nothing (arXiv:1909.05858, as Hugging Face). */
  readonly repetitionPenalty: number;
  /** Taken from the logit of each token that the reply has; 0 changes nothing (as OpenAI). */
  readonly presencePenalty: number;
  /** Taken from a token's logit for each time that the reply has it; 0 changes nothing (as OpenAI). */
  readonly frequencyPenalty: number;
}

/** Meta's defaults (meta-llama/llama3 llama/generation.py chat_completion); what Meta has not changes nothing. */
export const DEFAULT_SAMPLING: SamplingParams = {
  temperature: 0.6,
  topK: null,
  topP: 0.9,
  minP: 0,
  typicalP: 1,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
};

/** Returns the parameters unchanged; throws a ConfigError that names the first impossible one. */
export function checkSampling(params: SamplingParams): SamplingParams {
  const { temperature, topK, topP, minP, typicalP, repetitionPenalty } = params;
  if (!(temperature >= 0 && Number.isFinite(temperature))) {
    throw new ConfigError(`temperature must be a number from 0, got ${temperature}`);
  }
  if (topK !== null && !(Number.isInteger(topK) && topK >= 1)) {
    throw new ConfigError(`top-k must be an integer from 1, got ${topK}`);
  }
  if (!(topP >= 0 && topP <= 1)) throw new ConfigError(`top-p must be from 0 to 1, got ${topP}`);
  if (!(minP >= 0 && minP <= 1)) throw new ConfigError(`min-p must be from 0 to 1, got ${minP}`);
  if (!(typicalP > 0 && typicalP <= 1))
    throw new ConfigError(`typical-p must be above 0 and at most 1, got ${typicalP}`);
  if (!(repetitionPenalty > 0 && Number.isFinite(repetitionPenalty))) {
    throw new ConfigError(`the repetition penalty must be a number above 0, got ${repetitionPenalty}`);
  }
  for (const name of ['presencePenalty', 'frequencyPenalty'] as const) {
    if (Number.isFinite(params[name])) continue;
    throw new ConfigError(`the ${name.replace('Penalty', '')} penalty must be a number, got ${params[name]}`);
  }
  return params;
}
