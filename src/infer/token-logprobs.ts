/**
 * Log-probabilities of tokens as the model gives them: of its distribution before temperature, penalties, bias and constraints, as OpenAI
 * and vLLM report them.
 */

/** A token and the natural logarithm of its probability. */
export interface TokenLogprob {
  readonly id: number;
  readonly logprob: number;
}

/** One token of a prompt or reply, and the most likely tokens at its place. */
export interface TokenLogprobs {
  readonly id: number;
  /** Null for the first token of a prompt, which nothing predicts. */
  readonly logprob: number | null;
  /** As many as were asked for, the most likely first. */
  readonly topLogprobs: readonly TokenLogprob[];
}

/** Most alternatives that may be asked for per token. */
export const MAX_TOP_LOGPROBS = 20;
