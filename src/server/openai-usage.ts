/**
 * Token counts and prompt log-probabilities as OpenAI's and vLLM's objects have them.
 */
import type { GenerationResult } from '../infer/generation.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { chatLogprob, withTop } from './openai-logprobs.ts';
import type { SamplingFields } from './request-fields.ts';

/** Usage of all replies of a request; a prompt counts once however many replies it gets. */
export function usageOf(results: readonly GenerationResult[], numRepliesPerPrompt = results.length): object {
  const prompts = results.filter((_, i) => i % numRepliesPerPrompt === 0);
  const promptTokens = sum(prompts.map((result) => result.promptTokens));
  const completionTokens = sum(results.map(({ ids }) => ids.length));
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: sum(prompts.map((result) => result.cachedTokens)) },
  };
}

/** `prompt_logprobs`, if a request asked for them: one entry a token, the first null. */
export function promptLogprobs(
  tokenizer: Tokenizer,
  { prompt_logprobs: numTop }: SamplingFields,
  { promptLogprobs: told }: GenerationResult,
): object {
  if (numTop === undefined || told === null) return {};
  const tokens = withTop(told, numTop);
  return { prompt_logprobs: tokens.map((token) => (token.logprob === null ? null : chatLogprob(tokenizer, token))) };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
