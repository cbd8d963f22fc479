/**
 * What a request changes about logits before a token is drawn: penalties, bias, and tokens that may not come. All in place.
 */
import type { Logits } from './sampler.ts';
import type { SamplingParams } from './sampling-params.ts';

/** Divides positive logits of these tokens by the penalty, and multiplies negative ones (transformers RepetitionPenaltyLogitsProcessor). */
export function penaliseRepetition(logits: Logits, ids: Iterable<number>, penalty: number): void {
  for (const id of ids) {
    if (id < logits.length) logits[id] = logits[id]! < 0 ? logits[id]! * penalty : logits[id]! / penalty;
  }
}

/** Lowers the logits of tokens by how often the reply has them: count * frequency + presence (OpenAI API reference, "frequency and presence penalties"). */
export function penalisePresence(
  logits: Logits,
  counts: ReadonlyMap<number, number>,
  { presencePenalty, frequencyPenalty }: Pick<SamplingParams, 'presencePenalty' | 'frequencyPenalty'>,
): void {
  for (const [id, count] of counts) {
    if (id < logits.length) logits[id] = logits[id]! - (count * frequencyPenalty + presencePenalty);
  }
}

/** Adds to the logits of some tokens. */
export function addBias(logits: Logits, logitBias: ReadonlyMap<number, number>): void {
  for (const [id, bias] of logitBias) if (id < logits.length) logits[id] = logits[id]! + bias;
}

/** Forbids tokens. */
export function forbid(logits: Logits, ids: Iterable<number>): void {
  for (const id of ids) if (id < logits.length) logits[id] = -Infinity;
}

/** Forbids every token whose bit is not set (bit `id & 31` of word `id >>> 5`) and that is none of `alsoAllowed`. */
export function allowOnly(logits: Logits, allowed: Uint32Array, alsoAllowed: Iterable<number>): void {
  const kept: [number, number][] = [];
  for (const id of alsoAllowed) if (id < logits.length) kept.push([id, logits[id]!]);
  for (let first = 0; first < logits.length; first += 32) {
    const bits = allowed[first >>> 5] ?? 0;
    if (bits === 0xffffffff) continue;
    const end = Math.min(first + 32, logits.length);
    if (bits === 0) logits.fill(-Infinity, first, end);
    else for (let id = first; id < end; id++) if ((bits & (1 << (id - first))) === 0) logits[id] = -Infinity;
  }
  for (const [id, logit] of kept) logits[id] = logit;
}

/** Whether no bit is set. */
export function isEmptyMask(allowed: Uint32Array): boolean {
  for (let i = 0; i < allowed.length; i++) if (allowed[i] !== 0) return false;
  return true;
}
