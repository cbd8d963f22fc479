/**
 * Chooses the tokens of one reply: changes the logits as the request says, then draws. In this order: repetition penalty, presence and
 * frequency penalties, bias, constraint and least length, then the sampler's steps. Each token has its own random number, so a token
 * depends on the logits and the tokens before it alone, however often it is tried.
 */
import type { RandomStream } from '../util/rng.ts';
import { addBias, allowOnly, forbid, isEmptyMask, penalisePresence, penaliseRepetition } from './adjust-logits.ts';
import type { CheckedRequest } from './request.ts';
import { type Logits, sampleToken } from './sampler.ts';
import type { ConstraintState } from './token-constraint.ts';

/** What a chooser keeps of the tokens so far. */
interface Progress {
  numTokens: number;
  readonly constraint: ConstraintState | null;
  /** How often the reply has each token; null where no penalty asks. */
  readonly counts: Map<number, number> | null;
  /** Tokens of prompt and reply; null where no penalty asks. */
  readonly seen: Set<number> | null;
}

export class TokenChooser {
  readonly #request: CheckedRequest;
  readonly #stream: RandomStream;
  readonly #progress: Progress;

  constructor(request: CheckedRequest, stream: RandomStream, progress: Progress = beginning(request)) {
    this.#request = request;
    this.#stream = stream;
    this.#progress = progress;
  }

  /** The next token, or null where the constraint ends the reply. */
  choose(given: Logits): number | null {
    const { sampling, logitBias, minTokens } = this.#request;
    const { numTokens, constraint, counts, seen } = this.#progress;
    const isChanged = seen ?? counts ?? constraint ?? (logitBias.size > 0 || numTokens < minTokens);
    const logits = isChanged ? copyOf(given) : given;
    if (seen) penaliseRepetition(logits, seen, sampling.repetitionPenalty);
    if (counts) penalisePresence(logits, counts, sampling);
    addBias(logits, logitBias);
    if (!this.#restrict(logits)) return null;
    return sampleToken(logits, sampling, this.#stream, numTokens);
  }

  /** Whether this token ends the reply. */
  isStop(id: number): boolean {
    return this.#request.stopIds.has(id);
  }

  /** The reply goes on with this token. */
  advance(id: number): void {
    const progress = this.#progress;
    progress.numTokens++;
    progress.counts?.set(id, (progress.counts.get(id) ?? 0) + 1);
    progress.seen?.add(id);
    progress.constraint?.advance(id);
  }

  /** An independent copy, to guess tokens with. */
  clone(): TokenChooser {
    const { numTokens, constraint, counts, seen } = this.#progress;
    return new TokenChooser(this.#request, this.#stream, {
      numTokens,
      constraint: constraint?.clone() ?? null,
      counts: counts && new Map(counts),
      seen: seen && new Set(seen),
    });
  }

  /** Forbids what may not come; false if nothing may. */
  #restrict(logits: Logits): boolean {
    const { stopIds, minTokens } = this.#request;
    const { numTokens, constraint } = this.#progress;
    const mayStop = numTokens >= minTokens;
    if (!constraint) {
      if (!mayStop) forbid(logits, stopIds);
      return true;
    }
    const allowed = constraint.allowed();
    const canEnd = constraint.canEnd();
    const isOver = isEmptyMask(allowed);
    if (isOver && (!canEnd || stopIds.size === 0)) return false;
    allowOnly(logits, allowed, canEnd && (mayStop || isOver) ? stopIds : []);
    return true;
  }
}

let copy = new Float32Array(0);

/** A copy in memory that the next call uses again. */
function copyOf(logits: Logits): Logits {
  if (copy.length < logits.length) copy = new Float32Array(logits.length);
  const target = copy.subarray(0, logits.length);
  target.set(logits);
  return target;
}

function beginning({ sampling, constraint, promptIds }: CheckedRequest): Progress {
  const hasCounts = sampling.presencePenalty !== 0 || sampling.frequencyPenalty !== 0;
  return {
    numTokens: 0,
    constraint: constraint?.start() ?? null,
    counts: hasCounts ? new Map() : null,
    seen: sampling.repetitionPenalty === 1 ? null : new Set(Array.from(promptIds)),
  };
}
