/**
 * Perplexity of a text as llama.cpp's llama-perplexity measures it: windows of N tokens that do not overlap, each read from an empty cache; the
 * second half of a window is scored, so that every scored token has at least N / 2 tokens before it; what does not fill a window is left out.
 * Source: llama.cpp tools/perplexity/perplexity.cpp (`perplexity`).
 */
import { ConfigError } from '../util/errors.ts';
import { numBlocksFor } from './kv-cache.ts';
import type { ModelRunner } from './model-runner.ts';
import { logSumExp } from './token-logprobs.ts';

export interface PerplexityOptions {
  /** Tokens of a window, at least 4. */
  readonly windowTokens: number;
  /** Put in place of each window's first token; null for models that were not trained with one. */
  readonly bosId: number | null;
  /** Score only so many windows, from the start; null: all. */
  readonly maxWindows: number | null;
  /** Called after each window with those done and all. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Perplexity {
  /** Mean negative log-likelihood of a scored token, in nats. */
  readonly nll: number;
  /** Standard error of that mean, as if tokens were independent. */
  readonly nllError: number;
  readonly perplexity: number;
  /** Tokens that were scored. */
  readonly tokens: number;
  readonly windows: number;
}

/** Measures how well a model predicts the tokens of a text; throws ConfigError if they do not fill a window. */
export async function measurePerplexity(
  runner: ModelRunner,
  ids: Int32Array,
  { windowTokens, bosId, maxWindows, onProgress = () => {} }: PerplexityOptions,
): Promise<Perplexity> {
  const windows = Math.min(Math.floor(ids.length / windowTokens), maxWindows ?? Infinity);
  if (windowTokens < 4) throw new ConfigError(`a window must have at least 4 tokens, got ${windowTokens}`);
  if (windows < 1) {
    throw new ConfigError(
      `the text has ${ids.length} tokens, fewer than a window of ${windowTokens}; use a smaller --context`,
    );
  }
  const sums: Sums = { tokens: 0, nll: 0, squares: 0 };
  for (let i = 0; i < windows; i++) {
    const window = ids.slice(i * windowTokens, (i + 1) * windowTokens);
    if (bosId !== null) window[0] = bosId;
    await scoreWindow(runner, window, sums);
    onProgress(i + 1, windows);
  }
  const nll = sums.nll / sums.tokens;
  const variance = Math.max(0, sums.squares / sums.tokens - nll ** 2);
  const nllError = Math.sqrt(variance / Math.max(1, sums.tokens - 1));
  return { nll, nllError, perplexity: Math.exp(nll), tokens: sums.tokens, windows };
}

interface Sums {
  tokens: number;
  nll: number;
  squares: number;
}

// Rows whose logits are held at a time.
const SCORED_CHUNK = 128;
const UNSCORED_CHUNK = 512;

/** Adds the tokens after the middle of a window; the first of them is predicted from the row at the middle. */
async function scoreWindow(runner: ModelRunner, window: Int32Array, sums: Sums): Promise<void> {
  const { vocabSize } = runner.model.config;
  const firstScored = Math.floor(window.length / 2);
  const numRead = window.length - 1; // nothing follows the last token
  const blockIds = Array.from({ length: numBlocksFor(window.length) }, (_, block) => block);
  for (let start = 0, end; start < numRead; start = end) {
    const isScored = start >= firstScored;
    end = isScored ? Math.min(start + SCORED_CHUNK, numRead) : Math.min(start + UNSCORED_CHUNK, firstScored);
    const chunk = { ids: window.subarray(start, end), startPos: start, blockIds };
    const [logits] = await runner.run([{ ...chunk, logits: isScored ? 'all' : 'none' }]);
    if (!isScored) continue;
    for (let at = start; at < end; at++) {
      const row = logits!.subarray((at - start) * vocabSize, (at - start + 1) * vocabSize);
      const nll = logSumExp(row) - row[window[at + 1]!]!;
      sums.tokens++;
      sums.nll += nll;
      sums.squares += nll ** 2;
    }
  }
}
