/**
 * Log-probabilities in the shapes of OpenAI's chat and text completions.
 */
import type { TokenLogprobs } from '../infer/token-logprobs.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

/** OpenAI's API has no minus infinity; its own lowest value. */
const LOWEST = -9999;

interface NamedLogprob {
  readonly token: string;
  readonly logprob: number;
  /** UTF-8, as a token may hold half a character. */
  readonly bytes: number[];
}

function named(tokenizer: Tokenizer, id: number, logprob: number): NamedLogprob {
  return { token: tokenizer.decode([id]), logprob: finite(logprob), bytes: [...tokenizer.tokenBytes(id)] };
}

function finite(logprob: number): number {
  return Math.max(LOWEST, logprob);
}

/** One entry of `logprobs.content` of a chat completion. */
export function chatLogprob(tokenizer: Tokenizer, { id, logprob, topLogprobs }: TokenLogprobs): object {
  return {
    ...named(tokenizer, id, logprob ?? 0),
    top_logprobs: topLogprobs.map((top) => named(tokenizer, top.id, top.logprob)),
  };
}

/** `logprobs` of a text completion; `firstOffset` is where in the text its first token starts. */
export function completionLogprobs(
  tokenizer: Tokenizer,
  tokens: readonly TokenLogprobs[],
  firstOffset: number,
): object {
  let offset = firstOffset;
  const offsets: number[] = [];
  const names = tokens.map(({ id }) => tokenizer.decode([id]));
  for (const name of names) {
    offsets.push(offset);
    offset += name.length;
  }
  return {
    tokens: names,
    token_logprobs: tokens.map(({ logprob }) => (logprob === null ? null : finite(logprob))),
    top_logprobs: tokens.map(({ logprob, topLogprobs }) =>
      logprob === null
        ? null
        : Object.fromEntries(topLogprobs.map((top) => [tokenizer.decode([top.id]), finite(top.logprob)])),
    ),
    text_offset: offsets,
  };
}
