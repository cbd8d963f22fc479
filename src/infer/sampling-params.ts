/**
 * How the next token is chosen from logits: the parameters, their defaults and limits.
 */
import { ConfigError } from '../util/errors.ts';

export interface SamplingParams {
  /** Divides the logits; 0 takes the most likely token (the lowest id of equals). */
  readonly temperature: number;
  /** Only the so many most likely tokens; null keeps all. */
  readonly topK: number | null;
  /** Only the most likely tokens before which less than this share of the probability lies; 1 keeps all. */
  readonly topP: number;
}

/** Meta's defaults (meta-llama/llama3 llama/generation.py chat_completion). */
export const DEFAULT_SAMPLING: SamplingParams = { temperature: 0.6, topK: null, topP: 0.9 };

/** Returns the parameters unchanged; throws a ConfigError that names the first impossible one. */
export function checkSampling(params: SamplingParams): SamplingParams {
  const { temperature, topK, topP } = params;
  if (!(temperature >= 0 && Number.isFinite(temperature))) {
    throw new ConfigError(`temperature must be a number from 0, got ${temperature}`);
  }
  if (topK !== null && !(Number.isInteger(topK) && topK >= 1)) {
    throw new ConfigError(`top-k must be an integer from 1, got ${topK}`);
  }
  if (!(topP >= 0 && topP <= 1)) throw new ConfigError(`top-p must be from 0 to 1, got ${topP}`);
  return params;
}
