/**
 * Who runs next: first come, first served, as many tokens a step as allowed, prompts in chunks beside sequences that decode.
 * When KV blocks run out, the youngest running sequence gives its blocks back and later starts over: its tokens are kept, and recomputing
 * them gives the same keys and values. Knows no tensors.
 */
import type { BlockManager } from './block-manager.ts';
import { invariant } from '../util/errors.ts';
import { numBlocksFor } from './kv-cache.ts';
import type { Sequence } from './sequence.ts';

export interface SchedulerLimits {
  /** Sequences that run at once. */
  readonly maxNumSequences: number;
  /** New tokens per step, of all sequences together. */
  readonly maxNumBatchedTokens: number;
}

/** A sequence and how many of its uncomputed tokens the step takes. */
export interface Scheduled {
  readonly sequence: Sequence;
  readonly numTokens: number;
}

export class Scheduler {
  readonly #waiting: Sequence[] = [];
  readonly #running: Sequence[] = []; // the oldest first
  readonly #blocks: BlockManager;
  readonly #limits: SchedulerLimits;

  constructor(blocks: BlockManager, limits: SchedulerLimits) {
    this.#blocks = blocks;
    this.#limits = limits;
  }

  get numSequences(): number {
    return this.#waiting.length + this.#running.length;
  }

  /** Sequences that hold blocks, the oldest first. */
  get running(): readonly Sequence[] {
    return this.#running;
  }

  add(sequence: Sequence): void {
    this.#waiting.push(sequence);
  }

  /** Ends a sequence, wherever it is, and frees its blocks. */
  finish(sequence: Sequence): void {
    for (const queue of [this.#waiting, this.#running]) {
      const at = queue.indexOf(sequence);
      if (at !== -1) queue.splice(at, 1);
    }
    this.#blocks.release(sequence);
    sequence.status = 'finished';
  }

  /** What the next step computes, with blocks allocated for it; empty when there is nothing to do. */
  schedule(): Scheduled[] {
    const numRunning = this.#running.length;
    const scheduled = this.#scheduleRunning();
    // After a preemption nobody is admitted: the blocks it freed are for those that run.
    if (this.#running.length === numRunning) this.#admit(scheduled);
    invariant(scheduled.length > 0 || this.numSequences === 0, 'internal: sequences wait and none can run');
    return scheduled;
  }

  #scheduleRunning(): Scheduled[] {
    const scheduled: Scheduled[] = [];
    let budget = this.#limits.maxNumBatchedTokens;
    for (let i = 0; i < this.#running.length && budget > 0; i++) {
      const sequence = this.#running[i]!;
      const numTokens = Math.min(sequence.numUncomputed, budget);
      if (!this.#makeRoom(sequence, numTokens)) break;
      scheduled.push({ sequence, numTokens });
      budget -= numTokens;
    }
    return scheduled;
  }

  #admit(scheduled: Scheduled[]): void {
    let budget = this.#limits.maxNumBatchedTokens - scheduled.reduce((sum, { numTokens }) => sum + numTokens, 0);
    while (budget > 0 && this.#canAdmit()) {
      const sequence = this.#waiting.shift()!;
      sequence.status = 'running';
      this.#running.push(sequence);
      const numTokens = Math.min(sequence.numUncomputed, budget);
      this.#blocks.grow(sequence, numTokens);
      scheduled.push({ sequence, numTokens });
      budget -= numTokens;
    }
  }

  /** Whether all tokens of the next in line fit, with a block to spare for each that runs: else it would soon be preempted again. */
  #canAdmit(): boolean {
    const next = this.#waiting[0];
    const numRunning = this.#running.length;
    if (!next || numRunning >= this.#limits.maxNumSequences) return false;
    return numBlocksFor(next.length) + numRunning <= this.#blocks.numFree;
  }

  /** Allocates for `numTokens` more tokens, preempting younger sequences if need be; false if it had to preempt the sequence itself. */
  #makeRoom(sequence: Sequence, numTokens: number): boolean {
    const wanted = sequence.numComputed + numTokens;
    while (!this.#blocks.canGrow(sequence, wanted)) {
      const youngest = this.#running.pop()!;
      this.#preempt(youngest);
      if (youngest === sequence) return false;
    }
    this.#blocks.grow(sequence, wanted);
    return true;
  }

  #preempt(sequence: Sequence): void {
    this.#blocks.release(sequence);
    sequence.numComputed = 0;
    sequence.status = 'waiting';
    this.#waiting.unshift(sequence);
  }
}
