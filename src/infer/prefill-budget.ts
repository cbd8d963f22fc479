/**
 * How many prompt tokens a step may take while other sequences decode, so that none of them waits long for its next token: as many as the
 * last steps say fit in the target time. Knows no sequences.
 */
import { KV_BLOCK_SIZE } from './kv-cache.ts';

/** Steps beside which nobody notices a stall, with room for a machine that is suddenly twice as slow. */
const TARGET_MS = 100;
const SMOOTHING = 0.3; // weight of the newest step
const FIRST_GUESS = 64; // tokens, before any step was measured

/** Learns from steps. */
export class PrefillBudget {
  readonly #targetMs: number;
  #decodeMs = 0;
  #msPerToken: number | null = null;

  constructor(targetMs: number = TARGET_MS) {
    this.#targetMs = targetMs;
  }

  /** Prompt tokens for the next step: whole blocks, at least one. */
  get numTokens(): number {
    if (this.#msPerToken === null) return FIRST_GUESS;
    const fitting = (this.#targetMs - this.#decodeMs) / this.#msPerToken;
    return Math.max(1, Math.floor(fitting / KV_BLOCK_SIZE)) * KV_BLOCK_SIZE;
  }

  /** Learns from a step of so many prompt tokens beside so many sequences that decode. */
  observe(stepMs: number, numPromptTokens: number, numDecoding: number): void {
    if (numPromptTokens === 0) {
      this.#decodeMs = smoothed(this.#decodeMs, stepMs);
    } else if (numPromptTokens >= KV_BLOCK_SIZE) {
      // A few tokens cost little more than none, so they would tell nothing of many.
      const inPrompt = Math.max(stepMs / 2, stepMs - (numDecoding > 0 ? this.#decodeMs : 0));
      this.#msPerToken = smoothed(this.#msPerToken ?? inPrompt / numPromptTokens, inPrompt / numPromptTokens);
    }
  }
}

function smoothed(before: number, now: number): number {
  return before === 0 ? now : before + SMOOTHING * (now - before);
}
