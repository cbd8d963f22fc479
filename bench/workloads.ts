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
