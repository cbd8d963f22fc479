/**
 * Which tokens may come next in a state. What holds for the top frame whatever lies below is worked out once and shared by all places
 * where that frame occurs; only tokens that reach beyond their frame are followed further. Counted rounds that no token can use up
 * count as endless, so a long string has the same mask at each of its characters.
 */
import type { Continuation, Matcher, MatchState, Stack } from './matcher.ts';
import type { ExpressionTable } from './expression.ts';
import type { TokenTrie } from './token-trie.ts';

/**
 * What a frame allows: tokens, and the nodes of the trie (that have others below them) where a token has left the frame; null where
 * nobody has asked for them.
 */
type FrameMask = { readonly allowed: Uint32Array; readonly exits: Int32Array | null };

/** Memory for masks of states, and the same for those of frames; the oldest are forgotten beyond it. */
const MAX_MASK_BYTES = 24 * 2 ** 20;

export class TokenMasks {
  readonly #expressions: ExpressionTable;
  readonly #matcher: Matcher;
  readonly #trie: TokenTrie;
  readonly #numWords: number;
  readonly #maxMasks: number;
  readonly #masks = new Map<MatchState, Uint32Array>();
  readonly #frames = new Map<MatchState, FrameMask>();
  /** Tokens of at most so many bytes. */
  readonly #shortTokens = new Map<number, Uint32Array>();
  /** The state after each byte of the token at hand; the first is that before it. */
  readonly #path: MatchState[];

  constructor(expressions: ExpressionTable, matcher: Matcher, trie: TokenTrie, numIds: number) {
    this.#expressions = expressions;
    this.#matcher = matcher;
    this.#trie = trie;
    this.#numWords = Math.ceil(numIds / 32);
    this.#maxMasks = Math.max(64, Math.floor(MAX_MASK_BYTES / (4 * this.#numWords)));
    this.#path = Array<MatchState>(trie.maxDepth + 1);
  }

  /** Bit `id & 31` of word `id >>> 5`: whether a token may come next. Not to be written to. */
  allowed(state: MatchState): Uint32Array {
    const known = this.#masks.get(state);
    if (known !== undefined) return known;
    this.#matcher.startWork();
    const mask = this.#compute(state);
    keep(this.#masks, state, mask, this.#maxMasks);
    return mask;
  }

  /** Forgets masks, as when the matcher has forgotten its states. */
  clear(): void {
    this.#masks.clear();
    this.#frames.clear();
  }

  #compute(state: MatchState): Uint32Array {
    const tops = new Map<Stack | null, Continuation[]>();
    for (const { top, below } of state.stacks) {
      const same = tops.get(below);
      if (same === undefined) tops.set(below, [top]);
      else same.push(top);
    }
    const only = tops.size === 1 && tops.has(null) ? this.#frame(tops.get(null)!, false).allowed : null;
    if (only !== null) return only;
    const mask = new Uint32Array(this.#numWords);
    for (const [below, continuations] of tops) {
      const { allowed, exits } = this.#frame(continuations, below !== null);
      for (let i = 0; i < mask.length; i++) mask[i]! |= allowed[i]!;
      if (below === null || exits === null) continue;
      const after = this.#matcher.resume(below);
      for (const node of exits) this.#walk(after, node + 1, this.#trie.end[node]!, 0, mask, null);
    }
    return mask;
  }

  /** The mask of a frame that stands at `tops`. */
  #frame(tops: readonly Continuation[], needsExits: boolean): FrameMask {
    const { maxDepth } = this.#trie;
    const state = this.#frameState(tops, (rounds) => (rounds >= maxDepth ? Infinity : rounds));
    return this.#frameOf(state, needsExits);
  }

  /** The state of a frame on nothing, with the rounds left of its repetitions changed. */
  #frameState(tops: readonly Continuation[], changeMax: (rounds: number) => number): MatchState {
    const stacks = tops.map((top) => this.#matcher.stack(this.#changed(top, changeMax), null));
    return this.#matcher.state([...new Set(stacks)], false);
  }

  #changed(list: Continuation, changeMax: (rounds: number) => number): Continuation {
    const { head, tail } = list;
    const rest = tail === null ? null : this.#changed(tail, changeMax);
    if (head.kind !== 'repeat') return this.#matcher.continuation(head, rest);
    const min = Math.min(head.min, this.#trie.maxDepth);
    return this.#matcher.continuation(this.#expressions.repeat(head.body, min, changeMax(head.max)), rest);
  }

  #frameOf(state: MatchState, needsExits: boolean): FrameMask {
    const known = this.#frames.get(state);
    if (known !== undefined && (known.exits !== null || !needsExits)) return known;
    const rounds = fewestRounds(state);
    const frame =
      rounds === Infinity ? this.#walkFrame(state, needsExits) : this.#limitedFrame(state, rounds, needsExits);
    keep(this.#frames, state, frame, this.#maxMasks);
    return frame;
  }

  #walkFrame(state: MatchState, needsExits: boolean): FrameMask {
    const allowed = new Uint32Array(this.#numWords);
    const exits: number[] | null = needsExits ? [] : null;
    this.#walk(state, 0, this.#trie.numNodes, 0, allowed, exits);
    return { allowed, exits: exits && Int32Array.from(exits) };
  }

  /**
   * A round takes at least one byte, so tokens of at most `rounds` bytes do as if the rounds were endless; only longer ones are walked.
   */
  #limitedFrame(state: MatchState, rounds: number, needsExits: boolean): FrameMask {
    const { depth, numNodes } = this.#trie;
    const tops = state.stacks.map(({ top }) => top);
    const endlessState = this.#frameState(tops, () => Infinity);
    const endless = this.#frameOf(endlessState, needsExits);
    const short = this.#tokensUpTo(rounds);
    const allowed = endless.allowed.map((word, i) => word & short[i]!);
    const deepExits: number[] | null = needsExits ? [] : null;
    this.#walk(state, 0, numNodes, rounds, allowed, deepExits);
    if (deepExits === null) return { allowed, exits: null };
    const exits = [
      ...Array.from(endless.exits!).filter((node) => depth[node]! <= rounds),
      ...deepExits.filter((node) => depth[node]! > rounds),
    ];
    return { allowed, exits: Int32Array.from(exits) };
  }

  #tokensUpTo(numBytes: number): Uint32Array {
    let mask = this.#shortTokens.get(numBytes);
    if (mask !== undefined) return mask;
    mask = new Uint32Array(this.#numWords);
    const { numNodes, depth, tokenStart, tokens } = this.#trie;
    for (let node = 0; node < numNodes; node++) {
      if (depth[node]! > numBytes) continue;
      for (let i = tokenStart[node]!; i < tokenStart[node + 1]!; i++) mask[tokens[i]! >>> 5]! |= 1 << (tokens[i]! & 31);
    }
    this.#shortTokens.set(numBytes, mask);
    return mask;
  }

  /**
   * Marks the tokens at the nodes [from, to) that a reply in `start` may go on with, and collects where it may have left its frame.
   * Nodes with no token deeper than `shallow` below them are passed over.
   */
  #walk(
    start: MatchState,
    from: number,
    to: number,
    shallow: number,
    allowed: Uint32Array,
    exits: number[] | null,
  ): void {
    const { byte, depth, end, deepest, groupsBelow, tokenStart, tokens } = this.#trie;
    const path = this.#path;
    const matcher = this.#matcher;
    if (from >= to) return;
    path[depth[from]! - 1] = start;
    for (let node = from; node < to;) {
      const at = depth[node]!;
      const before = path[at - 1]!;
      const next = deepest[node]! > shallow ? matcher.step(before, byte[node]!) : null;
      if (next === null) {
        node = end[node]!;
        continue;
      }
      path[at] = next;
      const isLoop = next === before && (exits === null || !next.canEnd);
      // Where all below leads back to the same state, all of it is allowed.
      const isWhole = isLoop && (groupsBelow[node]! & ~matcher.loopGroups(next)) === 0;
      const after = isWhole ? end[node]! : node + 1;
      const last = tokenStart[after]!;
      for (let i = tokenStart[node]!; i < last; i++) allowed[tokens[i]! >>> 5]! |= 1 << (tokens[i]! & 31);
      if (exits !== null && next.canEnd && end[node]! > node + 1) exits.push(node);
      node = after;
    }
  }
}

/** The smallest number of rounds left of any repetition that the tops have reached. */
function fewestRounds({ stacks }: MatchState): number {
  let fewest = Infinity;
  for (const { top } of stacks) {
    for (let list: Continuation | null = top; list !== null; list = list.tail) {
      if (list.head.kind === 'repeat') fewest = Math.min(fewest, list.head.max);
    }
  }
  return fewest;
}

function keep<T>(map: Map<MatchState, T>, state: MatchState, value: T, maxEntries: number): void {
  if (map.size >= maxEntries) map.delete(map.keys().next().value!);
  map.set(state, value);
}
