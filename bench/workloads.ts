/**
 * The sizes of work that engines are compared by, the same for each of them.
 */

/** Tokens of the prompt whose reading is timed. */
export const PREFILL_TOKENS = 512;
/** Tokens before the decoding that is timed, and the tokens timed. */
export const SHORT_PROMPT = 8;
export const TIMED_TOKENS = 16;
/** Tokens before decoding behind a long context. */
export const DEEP_TOKENS = 8192;
/** Sequences that decode together. */
export const BATCH = 8;

/** Parts of a comparison that run in one process, and the room for keys and values that they need, the same for all engines. */
export const WORKLOADS = [
  { parts: ['decode', 'prefill', 'prefillAnew'], contextTokens: 2 * PREFILL_TOKENS, sequences: 1 },
  { parts: ['deep'], contextTokens: DEEP_TOKENS + 2 * PREFILL_TOKENS, sequences: 1 },
  { parts: ['batch'], contextTokens: PREFILL_TOKENS, sequences: BATCH },
] as const;

export type Part = (typeof WORKLOADS)[number]['parts'][number];

/** Room for keys and values. */
export interface Room {
  /** Of each sequence. */
  readonly contextTokens: number;
  readonly sequences: number;
}
