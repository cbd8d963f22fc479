/**
 * Guesses that a text goes on as it did after the last few tokens the last time ("prompt lookup decoding", A. Saxena 2023): free of cost, and
 * right where a reply repeats its prompt or itself, as in summaries, edits and code.
 */
import type { Sequence } from './sequence.ts';
import type { Drafter, DraftRequest } from './speculation.ts';

/** Tokens that must have come before in the same order: the longest first. A single token says too little. */
const NGRAM_SIZES = [4, 3, 2] as const;

/** Where each n-gram of a sequence last ended, but for the one at its end. */
interface NgramIndex {
  readonly endOf: ReadonlyMap<number, Map<number, number>>;
  numIndexed: number;
}

export class NgramDrafter implements Drafter {
  readonly maxDraftTokens: number;
  readonly #indices = new WeakMap<Sequence, NgramIndex>();

  constructor(maxDraftTokens: number) {
    this.maxDraftTokens = maxDraftTokens;
  }

  async propose(requests: readonly DraftRequest[]): Promise<readonly (readonly number[])[]> {
    return requests.map(({ sequence, maxTokens }) => this.#proposeOne(sequence, maxTokens));
  }

  forget(sequence: Sequence): void {
    this.#indices.delete(sequence);
  }

  dispose(): void {}

  #proposeOne(sequence: Sequence, maxTokens: number): number[] {
    const ids = sequence.ids(0, sequence.length);
    const index = this.#indices.get(sequence) ?? newIndex();
    this.#indices.set(sequence, index);
    extend(index, ids);
    const end = findEnd(index, ids);
    if (end === null) return [];
    const draft: number[] = [];
    // Behind the last token the repetition goes on with itself.
    for (let i = 0; i < maxTokens; i++) draft.push(end + i < ids.length ? ids[end + i]! : draft[end + i - ids.length]!);
    return draft;
  }
}

function newIndex(): NgramIndex {
  return { endOf: new Map(NGRAM_SIZES.map((size) => [size, new Map<number, number>()])), numIndexed: 0 };
}

function extend(index: NgramIndex, ids: Int32Array): void {
  for (let end = index.numIndexed + 1; end < ids.length; end++) {
    for (const [size, endOf] of index.endOf) if (end >= size) endOf.set(hashOf(ids, end, size), end);
  }
  index.numIndexed = Math.max(0, ids.length - 1);
}

/** Where the longest n-gram at the end of `ids` ended before. */
function findEnd({ endOf }: NgramIndex, ids: Int32Array): number | null {
  for (const size of NGRAM_SIZES) {
    if (ids.length < size) continue;
    const end = endOf.get(size)!.get(hashOf(ids, ids.length, size));
    if (end !== undefined && isSame(ids, end, size)) return end;
  }
  return null;
}

function isSame(ids: Int32Array, end: number, size: number): boolean {
  for (let i = 1; i <= size; i++) if (ids[end - i] !== ids[ids.length - i]) return false;
  return true;
}

function hashOf(ids: Int32Array, end: number, size: number): number {
  let hash = size;
  for (let i = end - size; i < end; i++) hash = Math.imul(hash ^ ids[i]!, 0x9e3779b1) ^ (hash >>> 15);
  return hash;
}
