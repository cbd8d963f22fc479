/**
 * Runs expressions over bytes: a state is the set of stacks that what was read so far can have led to. Equal states are one object and
 * remember where each byte leads, so that a walk over the vocabulary costs two loads a byte. Knows no tokens.
 */
import { hasByte } from './byte-set.ts';
import type { Expression, ExpressionTable } from './expression.ts';
import { ConstraintError, invariant } from '../util/errors.ts';

/** What is still to come in one frame: a list of expressions; null at its end. */
export type Continuation = { readonly id: number; readonly head: Expression; readonly tail: Continuation | null };

/** A frame on the frames that called it. In a state every top begins with bytes. */
export type Stack = { readonly id: number; readonly top: Continuation; readonly below: Stack | null };

/** Stacks a reply may stand at. */
export class MatchState {
  readonly stacks: readonly Stack[];
  /** Whether what was read may end here. */
  readonly canEnd: boolean;
  /** Bytes of one class lead to one state; class 0 leads nowhere. Null until needed. */
  classes: { of: Uint16Array; members: readonly (readonly Stack[])[] } | null = null;
  /** Per class; undefined until needed. */
  targets: (MatchState | null | undefined)[] = [null];
  /** Groups of eight bytes, bit `byte >>> 3`, that all lead back here; null until needed. */
  loopGroups: number | null = null;

  constructor(stacks: readonly Stack[], canEnd: boolean) {
    this.stacks = stacks;
    this.canEnd = canEnd;
  }
}

/** Ways to read the same text that one state may hold: beyond this a grammar is too ambiguous to follow in bounded time. */
const MAX_STACKS = 5000;
const MAX_STEPS = 50_000;
/** Stacks looked at for the mask of one token: a fraction of a second. */
const MAX_WORK = 400_000;
/** What is kept for sharing; beyond this all is forgotten and worked out anew where needed. */
const MAX_STATES = 30_000;
const MAX_NODES = 400_000;

export class Matcher {
  readonly #expressions: ExpressionTable;
  #continuations = new Map<string, Continuation>();
  #stacks = new Map<string, Stack>();
  #states = new Map<string, MatchState>();
  #nextId = 0;
  #workLeft = MAX_WORK;

  constructor(expressions: ExpressionTable) {
    this.#expressions = expressions;
  }

  /** The state before the first byte of what `expression` describes. */
  start(expression: Expression): MatchState {
    return this.#close([{ top: this.continuation(expression, null), below: null }]);
  }

  /** The state after a frame was left for the stack below it. */
  resume(stack: Stack): MatchState {
    return this.#close([stack]);
  }

  /** Where a byte leads, null if it is not allowed. */
  step(state: MatchState, byte: number): MatchState | null {
    const { of, members } = state.classes ?? this.#classify(state);
    const cls = of[byte]!;
    const known = state.targets[cls];
    if (known !== undefined) return known;
    const target = this.#close(members[cls]!.map(({ top, below }) => ({ top: top.tail, below })));
    const isDead = target.stacks.length === 0 && !target.canEnd;
    return (state.targets[cls] = isDead ? null : target);
  }

  /** Groups of eight bytes, bit `byte >>> 3`, that all lead from a state back to it. */
  loopGroups(state: MatchState): number {
    if (state.loopGroups !== null) return state.loopGroups;
    let groups = 0;
    for (let group = 0; group < 32; group++) {
      let byte = 8 * group;
      while (byte < 8 * group + 8 && this.step(state, byte) === state) byte++;
      if (byte === 8 * group + 8) groups |= 1 << group;
    }
    return (state.loopGroups = groups);
  }

  /** Limits the work until this is called again: a ConstraintError where a hostile constraint asks for more. */
  startWork(): void {
    this.#workLeft = MAX_WORK;
  }

  /** The state of given stacks, whose tops begin with bytes. */
  state(stacks: readonly Stack[], canEnd: boolean): MatchState {
    const sorted = stacks.toSorted((a, b) => a.id - b.id);
    const key = `${canEnd ? 'e' : ''}${sorted.map(({ id }) => id).join()}`;
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    const state = new MatchState(sorted, canEnd);
    this.#states.set(key, state);
    return state;
  }

  continuation(head: Expression, tail: Continuation | null): Continuation {
    const key = `${head.id},${tail?.id ?? ''}`;
    const known = this.#continuations.get(key);
    if (known !== undefined) return known;
    const made = { id: this.#nextId++, head, tail };
    this.#continuations.set(key, made);
    return made;
  }

  stack(top: Continuation, below: Stack | null): Stack {
    const key = `${top.id},${below?.id ?? ''}`;
    const known = this.#stacks.get(key);
    if (known !== undefined) return known;
    const made = { id: this.#nextId++, top, below };
    this.#stacks.set(key, made);
    return made;
  }

  /** Forgets what is shared if it has grown large; true if it did. To be called between steps of replies. */
  trim(): boolean {
    const isSmall = this.#states.size < MAX_STATES && this.#stacks.size + this.#continuations.size < MAX_NODES;
    if (!isSmall) this.forget();
    return !isSmall;
  }

  /** Forgets what is shared; states in use stay valid. */
  forget(): void {
    for (const state of this.#states.values()) {
      state.targets = [null];
      state.classes = null;
      state.loopGroups = null;
    }
    this.#continuations = new Map();
    this.#stacks = new Map();
    this.#states = new Map();
  }

  /** All stacks that begin with bytes and can be reached from these without reading. */
  #close(from: readonly { top: Continuation | null; below: Stack | null }[]): MatchState {
    const work = [...from];
    const seen = new Set<Stack>();
    const ready: Stack[] = [];
    let canEnd = false;
    for (let next = work.pop(); next !== undefined; next = work.pop()) {
      const { top, below } = next;
      if (top === null) {
        if (below === null) canEnd = true;
        else work.push(below);
        continue;
      }
      const stack = this.stack(top, below);
      if (seen.has(stack)) continue;
      seen.add(stack);
      if (top.head.kind === 'bytes') ready.push(stack);
      else this.#expand(stack, work);
      if (ready.length > MAX_STACKS || seen.size > MAX_STEPS || this.#workLeft-- <= 0) {
        throw new ConstraintError(
          'The constraint is too ambiguous: too many ways to read the same text; make it simpler.',
        );
      }
    }
    return this.state(ready, canEnd);
  }

  #expand({ top, below }: Stack, work: { top: Continuation | null; below: Stack | null }[]): void {
    const { head, tail } = top;
    switch (head.kind) {
      case 'empty':
        work.push({ top: tail, below });
        break;
      case 'sequence':
        work.push({ top: this.continuation(head.first, this.continuation(head.rest, tail)), below });
        break;
      case 'choice':
        for (const option of head.options) work.push({ top: this.continuation(option, tail), below });
        break;
      case 'repeat': {
        const { body, min, max } = head;
        if (min === 0) work.push({ top: tail, below });
        const again = this.#expressions.repeat(body, Math.max(min - 1, 0), max - 1);
        const rest = again.kind === 'empty' ? tail : this.continuation(again, tail);
        work.push({ top: this.continuation(body, rest), below });
        break;
      }
      case 'call': {
        invariant(head.rule.body !== null, `internal: rule ${head.rule.name} has no body`);
        // At the end of a frame the called rule takes its place: right recursion needs no stack.
        work.push({
          top: this.continuation(head.rule.body, null),
          below: tail === null ? below : this.stack(tail, below),
        });
        break;
      }
      default:
        invariant(head.kind === 'never', `internal: cannot expand ${head.kind}`);
    }
  }

  #classify(state: MatchState): { of: Uint16Array; members: readonly (readonly Stack[])[] } {
    const bySet = new Map<Expression, Stack[]>();
    for (const stack of state.stacks) {
      const same = bySet.get(stack.top.head);
      if (same === undefined) bySet.set(stack.top.head, [stack]);
      else same.push(stack);
    }
    const of = new Uint16Array(256);
    const members: (readonly Stack[])[] = [[]];
    for (const [head, stacks] of bySet) {
      invariant(head.kind === 'bytes', 'internal: a state at something other than bytes');
      const split = new Map<number, number>();
      for (let byte = 0; byte < 256; byte++) {
        if (!hasByte(head.set, byte)) continue;
        const old = of[byte]!;
        let fresh = split.get(old);
        if (fresh === undefined) {
          fresh = members.push([...members[old]!, ...stacks]) - 1;
          split.set(old, fresh);
        }
        of[byte] = fresh;
      }
    }
    state.classes = { of, members };
    return state.classes;
  }
}

/** Whether `expression` describes a text. */
export function accepts(matcher: Matcher, expression: Expression, text: string): boolean {
  matcher.startWork();
  let state: MatchState | null = matcher.start(expression);
  for (const byte of new TextEncoder().encode(text)) {
    if (state === null) return false;
    state = matcher.step(state, byte);
  }
  return state !== null && state.canEnd;
}
