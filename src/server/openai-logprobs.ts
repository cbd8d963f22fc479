/**
 * Log-probabilities in the shapes of OpenAI's chat and text completions.
 */
import type { TokenLogprobs } from '../infer/token-logprobs.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { tokenPiece } from './token-piece.ts';

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

/** So many alternatives of each token, where the engine told more of them for another field of the request. */
export function withTop(tokens: readonly TokenLogprobs[], numTop: number): TokenLogprobs[] {
  return tokens.map((token) => ({ ...token, topLogprobs: token.topLogprobs.slice(0, numTop) }));
}

/** The key of a token where only texts may stand: part of a character is written as OpenAI does, so that two of them stay two. */
function textName(tokenizer: Tokenizer, id: number): string {
  const piece = tokenPiece(tokenizer, id);
  if (typeof piece === 'string') return piece;
  return `bytes:${piece.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
}

/** `logprobs` of a text completion; `firstOffset` is where in the text its first token starts. Special tokens take no room there. */
export function completionLogprobs(
  tokenizer: Tokenizer,
  tokens: readonly TokenLogprobs[],
  firstOffset: number,
): object {
  const text = tokenizer.streamDecoder({ skipSpecial: true });
  let offset = firstOffset;
  const offsets = tokens.map(({ id }) => {
    const start = offset;
    offset += text.push(id).length;
    return start;
  });
  return {
    tokens: tokens.map(({ id }) => textName(tokenizer, id)),
    token_logprobs: tokens.map(({ logprob }) => (logprob === null ? null : finite(logprob))),
    top_logprobs: tokens.map(({ logprob, topLogprobs }) =>
      logprob === null
        ? null
        : Object.fromEntries(topLogprobs.map((top) => [textName(tokenizer, top.id), finite(top.logprob)])),
    ),
    text_offset: offsets,
  };
}
