/**
 * Who runs next: first come, first served, as many tokens a step as allowed, prompts in chunks beside sequences that decode, which never wait
 * for them. When KV blocks run out, the youngest running sequence gives its blocks back and later starts over: its tokens are kept, and
 * what the prefix cache still has of it need not be computed again; the rest gives the same keys and values. Knows no tensors.
 */
import type { BlockCopy, BlockManager } from './block-manager.ts';
import { invariant } from '../util/errors.ts';
import { KV_BLOCK_SIZE, numBlocksFor } from './kv-cache.ts';
import type { Sequence } from './sequence.ts';

export interface SchedulerLimits {
  /** Sequences that run at once. */
  readonly maxNumSequences: number;
  /** New tokens per step, of all sequences together. */
  readonly maxNumBatchedTokens: number;
  /** Whether prompts are looked up in what was computed before. */
  readonly prefixCache: boolean;
}

/** A sequence and how many of its uncomputed tokens the step takes; behind the last of them, so many drafted ones. */
export interface Scheduled {
  readonly sequence: Sequence;
  readonly numTokens: number;
  readonly numDrafted: number;
}

/** What a step does: the copies first. */
export interface StepPlan {
  readonly scheduled: readonly Scheduled[];
  readonly copies: readonly BlockCopy[];
}

export class Scheduler {
  readonly #waiting: Sequence[] = [];
  readonly #running: Sequence[] = []; // the oldest first
  readonly #blocks: BlockManager;
  readonly #limits: SchedulerLimits;
  #copies: BlockCopy[] = [];
  /** Blocks that were available when the first in line last found too few; null: it has not. */
  #tooFewBlocks: number | null = null;
  #numPreemptions = 0;

  constructor(blocks: BlockManager, limits: SchedulerLimits) {
    this.#blocks = blocks;
    this.#limits = limits;
  }

  get numSequences(): number {
    return this.#waiting.length + this.#running.length;
  }

  get numPreemptions(): number {
    return this.#numPreemptions;
  }

  /** Sequences that hold blocks, the oldest first. */
  get running(): readonly Sequence[] {
    return this.#running;
  }

  add(sequence: Sequence): void {
    this.#waiting.push(sequence);
  }

  /** Adds sequences that continue the computed tokens of `parent`, sharing its blocks if they can run at once. */
  fork(parent: Sequence, children: readonly Sequence[]): void {
    const numRunnable = Math.max(0, this.#limits.maxNumSequences - this.#running.length);
    for (const child of children.slice(0, numRunnable)) {
      this.#blocks.share(parent, child, parent.numComputed);
      child.numComputed = parent.numComputed;
      child.numCached = parent.numCached;
      child.status = 'running';
      this.#running.push(child);
    }
    this.#waiting.unshift(...children.slice(numRunnable));
    this.#tooFewBlocks = null;
  }

  /** Ends a sequence, wherever it is, and frees its blocks. */
  finish(sequence: Sequence): void {
    for (const queue of [this.#waiting, this.#running]) {
      const at = queue.indexOf(sequence);
      if (at !== -1) queue.splice(at, 1);
    }
    this.#blocks.release(sequence);
    sequence.status = 'finished';
    this.#tooFewBlocks = null;
  }

  /** Notes that the tokens of a step are computed, and makes full blocks known to others. */
  computed(sequence: Sequence, numTokens: number): void {
    sequence.numComputed += numTokens;
    if (this.#limits.prefixCache) this.#blocks.publish(sequence, sequence.ids(0, sequence.numComputed));
  }

  /** What the next step computes, with blocks allocated for it; beside sequences that decode at most `maxPrefillTokens` of prompts. */
  schedule(maxPrefillTokens = Infinity): StepPlan {
    this.#copies = [];
    const numRunning = this.#running.length;
    const decodeTokens = this.#running.filter(isDecoding).reduce((sum, { numDrafted }) => sum + 1 + numDrafted, 0);
    const total = this.#limits.maxNumBatchedTokens;
    const budget = {
      decode: Math.min(decodeTokens, total),
      prefill: Math.min(Math.max(0, total - decodeTokens), decodeTokens > 0 ? maxPrefillTokens : Infinity),
    };
    const scheduled = this.#scheduleRunning(budget);
    // After a preemption nobody is admitted: the blocks it freed are for those that run.
    if (this.#running.length === numRunning) this.#admit(scheduled, budget.prefill);
    invariant(scheduled.length > 0 || this.numSequences === 0, 'internal: sequences wait and none can run');
    return { scheduled, copies: this.#copies };
  }

  #scheduleRunning(budget: { decode: number; prefill: number }): Scheduled[] {
    const scheduled: Scheduled[] = [];
    for (let i = 0; i < this.#running.length; i++) {
      const sequence = this.#running[i]!;
      const isDecode = isDecoding(sequence);
      if ((isDecode ? budget.decode : budget.prefill) === 0) continue;
      if (!isDecode) this.#adopt(sequence);
      const numTokens = isDecode ? 1 : this.#chunkOf(sequence, budget.prefill);
      if (!this.#makeRoom(sequence, numTokens)) break;
      const numDrafted = isDecode ? this.#growForDraft(sequence, budget.decode - 1) : 0;
      scheduled.push({ sequence, numTokens, numDrafted });
      if (isDecode) budget.decode -= 1 + numDrafted;
      else budget.prefill -= numTokens;
    }
    return scheduled;
  }

  #admit(scheduled: Scheduled[], prefillTokens: number): void {
    let budget = prefillTokens;
    while (budget > 0 && this.#tryAdmit()) {
      const sequence = this.#running.at(-1)!;
      const numTokens = this.#chunkOf(sequence, budget);
      scheduled.push({ sequence, numTokens, numDrafted: 0 });
      budget -= numTokens;
    }
  }

  /**
   * Moves the next in line to those that run, with blocks for all its tokens, if these are there with one to spare for each that runs: else it
   * would soon be preempted again.
   */
  #tryAdmit(): boolean {
    const next = this.#waiting[0];
    const numRunning = this.#running.length;
    if (!next || numRunning >= this.#limits.maxNumSequences) return false;
    if (this.#tooFewBlocks !== null && this.#blocks.numAvailable <= this.#tooFewBlocks) return false;
    this.#tooFewBlocks = this.#blocks.numAvailable;
    this.#adopt(next);
    const missing = numBlocksFor(next.length) - next.blockIds.length;
    if (missing + numRunning > this.#blocks.numAvailable) {
      this.#blocks.release(next);
      next.numComputed = 0;
      return false;
    }
    this.#tooFewBlocks = null;
    this.#blocks.grow(next, next.length);
    next.numCached ??= next.numComputed;
    next.status = 'running';
    this.#running.push(this.#waiting.shift()!);
    return true;
  }

  /** Takes over what the prefix cache has of the coming tokens; the last one is always computed, as its logits are wanted. */
  #adopt(sequence: Sequence): void {
    const isAtBlock = sequence.numComputed === sequence.numPublished * KV_BLOCK_SIZE;
    if (!this.#limits.prefixCache || sequence.isPromptWanted || !isAtBlock) return;
    const before = sequence.numComputed;
    sequence.numComputed = this.#blocks.adopt(sequence, sequence.ids(0, sequence.length - 1));
    if (sequence.numCached !== null && sequence.length === sequence.promptLength) {
      sequence.numCached += sequence.numComputed - before;
    }
  }

  /** Tokens of a chunk of the uncomputed ones; it ends with a full block where it is not the last. */
  #chunkOf(sequence: Sequence, budget: number): number {
    const most = Math.min(budget, sequence.maxChunkTokens);
    if (sequence.numUncomputed <= most) return sequence.numUncomputed;
    const overhang = (sequence.numComputed + most) % KV_BLOCK_SIZE;
    return overhang < most ? most - overhang : most;
  }

  /** Allocates for `numTokens` more tokens, preempting younger sequences if need be; false if it had to preempt the sequence itself. */
  #makeRoom(sequence: Sequence, numTokens: number): boolean {
    const wanted = sequence.numComputed + numTokens;
    while (numBlocksFor(wanted) - sequence.blockIds.length + this.#numCopies(sequence) > this.#blocks.numAvailable) {
      const youngest = this.#running.pop()!;
      this.#preempt(youngest);
      if (youngest === sequence) return false;
    }
    if (this.#numCopies(sequence) > 0) this.#copies.push(this.#blocks.makeOwn(sequence, sequence.numComputed));
    this.#blocks.grow(sequence, wanted);
    return true;
  }

  /** 1 if the block that the next token is written to is shared. */
  #numCopies(sequence: Sequence): number {
    return this.#blocks.isShared(sequence, sequence.numComputed) ? 1 : 0;
  }

  /** Allocates for drafted tokens, as many as fit without taking anything from others. */
  #growForDraft(sequence: Sequence, budget: number): number {
    const numDrafted = Math.min(sequence.numDrafted, budget);
    if (!this.#blocks.canGrow(sequence, sequence.length + numDrafted)) return 0;
    this.#blocks.grow(sequence, sequence.length + numDrafted);
    return numDrafted;
  }

  #preempt(sequence: Sequence): void {
    this.#blocks.release(sequence);
    sequence.numComputed = 0;
    sequence.numDrafted = 0;
    sequence.status = 'waiting';
    this.#waiting.unshift(sequence);
    this.#tooFewBlocks = null;
    this.#numPreemptions++;
  }
}

function isDecoding({ numUncomputed }: Sequence): boolean {
  return numUncomputed === 1;
}
