/**
 * What an engine tells of itself, for people and for metrics.
 */

/** Counts now, and totals since the engine began. */
export interface EngineStats {
  /** Requests whose tokens are computed in turn. */
  readonly numRunning: number;
  /** Requests in line, also those that gave their memory back. */
  readonly numWaiting: number;
  readonly kvBlocksTotal: number;
  /** Blocks that requests hold. */
  readonly kvBlocksUsed: number;
  /** Blocks that nobody holds and that keep prefixes for requests to come. */
  readonly kvBlocksCached: number;
  /** Prompt tokens looked up in the prefix cache, and found there. */
  readonly prefixQueriedTokens: number;
  readonly prefixHitTokens: number;
  /** Times that a request gave its memory back to others. */
  readonly preemptions: number;
  readonly steps: number;
  /** Sequences, and tokens, of the last step. */
  readonly lastBatchSize: number;
  readonly lastBatchTokens: number;
  /** Tokens of prompts computed, and of replies drawn. */
  readonly promptTokens: number;
  readonly generatedTokens: number;
  /** Tokens proposed by speculation, and taken. */
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
}

/** One step, for whoever asked with `onStep`. */
export interface StepReport {
  readonly numSequences: number;
  readonly numPromptTokens: number;
  /** Tokens of sequences that generate, drafted ones included. */
  readonly numDecodeTokens: number;
  /** Time in the model, and in choosing tokens after it. */
  readonly modelMs: number;
  readonly samplingMs: number;
}
