/**
 * What an engine tells of itself, for people and for metrics.
 */
import type { Scheduled } from './scheduler.ts';
import { isGenerating, type Sequence } from './sequence.ts';

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

type Totals = Pick<
  EngineStats,
  | 'prefixQueriedTokens'
  | 'prefixHitTokens'
  | 'steps'
  | 'lastBatchSize'
  | 'lastBatchTokens'
  | 'promptTokens'
  | 'generatedTokens'
  | 'draftedTokens'
  | 'acceptedTokens'
>;

/** Adds up what an engine does. */
export class EngineTotals {
  readonly #totals: { -readonly [K in keyof Totals]: number } = {
    prefixQueriedTokens: 0,
    prefixHitTokens: 0,
    steps: 0,
    lastBatchSize: 0,
    lastBatchTokens: 0,
    promptTokens: 0,
    generatedTokens: 0,
    draftedTokens: 0,
    acceptedTokens: 0,
  };

  /** What was added up so far. */
  get now(): Totals {
    return this.#totals;
  }

  /** A step was computed; tells of which tokens, and how many of its sequences generate. */
  addStep(
    scheduled: readonly Scheduled[],
  ): Omit<StepReport, 'modelMs' | 'samplingMs'> & { readonly numDecoding: number } {
    let [numPromptTokens, numDecodeTokens, numDecoding] = [0, 0, 0];
    for (const { sequence, numTokens, numDrafted } of scheduled) {
      if (isGenerating(sequence)) {
        numDecodeTokens += numTokens + numDrafted;
        numDecoding++;
      } else numPromptTokens += numTokens;
    }
    this.#totals.steps++;
    this.#totals.lastBatchSize = scheduled.length;
    this.#totals.lastBatchTokens = numPromptTokens + numDecodeTokens;
    this.#totals.promptTokens += numPromptTokens;
    return { numSequences: scheduled.length, numPromptTokens, numDecodeTokens, numDecoding };
  }

  /** The prompt of a sequence is computed. */
  addPrompt({ isPromptWanted, promptLength, numCached }: Sequence): void {
    if (isPromptWanted) return;
    this.#totals.prefixQueriedTokens += promptLength;
    this.#totals.prefixHitTokens += numCached ?? 0;
  }

  /** Tokens were drawn for replies. */
  addGenerated(count: number): void {
    this.#totals.generatedTokens += count;
  }

  /** Guesses were checked, and so many of them taken. */
  addGuesses(numDrafted: number, numAccepted: number): void {
    this.#totals.draftedTokens += numDrafted;
    this.#totals.acceptedTokens += numAccepted;
  }
}
