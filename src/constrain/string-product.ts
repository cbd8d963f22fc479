/**
 * Strings that match several patterns at once and have a length: the product of their automata. Characters that no pattern tells apart
 * are one class, and an automaton's letters are classes.
 */
import { ConstraintError } from '../util/errors.ts';
import { byteSet } from './byte-set.ts';
import { ANY_CHARACTER, codePoints, hasCodePoint, MAX_CODE_POINT, type CodePoints } from './code-points.ts';
import { ExpressionTable, type Expression, type Rule } from './expression.ts';
import type { JsonText } from './json-text.ts';
import { Matcher, type MatchState } from './matcher.ts';
import { nodeExpression } from './regex.ts';
import type { RegexNode } from './regex-syntax.ts';

const MAX_CLASSES = 256;
const MAX_STATES = 5000;

/** A state of every pattern, and characters read as far as they matter. */
type ProductState = {
  readonly states: readonly MatchState[];
  readonly length: number;
  readonly next: Map<ProductState, number[]>;
  canReachEnd: boolean;
  rule: Rule | null;
};

/** A JSON string, in its quotes, of `min` to `max` characters that matches all of `trees` (without anchors); `never` if there is none. */
export function stringProduct(json: JsonText, trees: readonly RegexNode[], min: number, max: number): Expression {
  const { table } = json;
  const classes = classesOf(trees.flatMap(setsOf));
  const product = new Product(trees, classes, min, max);
  const quote = table.literal('"');
  if (!product.start.canReachEnd) return table.never;
  const call = (state: ProductState): Expression => table.call((state.rule ??= table.rule('string')));
  for (const state of product.states) {
    if (!state.canReachEnd) continue;
    const options = product.isEnd(state) ? [quote] : [];
    for (const [target, letters] of state.next) {
      if (!target.canReachEnd) continue;
      const set = codePoints(letters.flatMap((letter) => classes[letter]!));
      options.push(table.sequence(json.characterOf(set), call(target)));
    }
    call(state);
    state.rule!.body = table.choice(...options);
  }
  return table.scope(table.sequence(quote, call(product.start)));
}

class Product {
  readonly start: ProductState;
  readonly states: ProductState[] = [];
  readonly #matcher: Matcher;
  readonly #numClasses: number;
  readonly #min: number;
  readonly #max: number;
  readonly #ids = new Map<MatchState, number>();
  readonly #known = new Map<string, ProductState>();

  constructor(trees: readonly RegexNode[], classes: readonly CodePoints[], min: number, max: number) {
    const table = new ExpressionTable();
    this.#matcher = new Matcher(table);
    this.#numClasses = classes.length;
    this.#min = min;
    this.#max = max;
    const write = (set: CodePoints) =>
      table.bytes(byteSet(...classes.flatMap((own, i) => (hasCodePoint(set, own[0]![0]) ? [[i, i] as const] : []))));
    const expressions = table.build(() => trees.map((tree) => nodeExpression(table, tree, write)));
    this.#matcher.startWork();
    this.start = this.#state(
      expressions.map((expression) => this.#matcher.start(expression)),
      0,
    );
    // The list grows while it is read.
    for (const state of this.states) this.#expand(state);
    this.#markEnds();
  }

  isEnd({ states, length }: ProductState): boolean {
    return length >= this.#min && states.every(({ canEnd }) => canEnd);
  }

  #expand(state: ProductState): void {
    if (state.length >= this.#max) return;
    // Without a maximum, characters beyond the minimum need no count.
    const length = this.#max === Infinity ? Math.min(state.length + 1, this.#min) : state.length + 1;
    for (let letter = 0; letter < this.#numClasses; letter++) {
      const nexts = state.states.map((own) => this.#matcher.step(own, letter));
      if (nexts.some((next) => next === null)) continue;
      const target = this.#state(nexts as readonly MatchState[], length);
      const letters = state.next.get(target);
      if (letters === undefined) state.next.set(target, [letter]);
      else letters.push(letter);
    }
  }

  #state(states: readonly MatchState[], length: number): ProductState {
    const key = `${length}:${states.map((state) => this.#idOf(state)).join()}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (this.states.length >= MAX_STATES) {
      throw new ConstraintError('patterns, formats and lengths that hold together are too many states');
    }
    const made = { states, length, next: new Map(), canReachEnd: false, rule: null };
    this.#known.set(key, made);
    this.states.push(made);
    return made;
  }

  #idOf(state: MatchState): number {
    const id = this.#ids.get(state) ?? this.#ids.size;
    this.#ids.set(state, id);
    return id;
  }

  /** Marks the states from which the string can still end, going backwards from those where it may. */
  #markEnds(): void {
    const before = new Map<ProductState, ProductState[]>();
    for (const state of this.states) {
      for (const target of state.next.keys()) {
        const sources = before.get(target);
        if (sources === undefined) before.set(target, [state]);
        else sources.push(state);
      }
    }
    const work = this.states.filter((state) => this.isEnd(state));
    for (let state = work.pop(); state !== undefined; state = work.pop()) {
      if (state.canReachEnd) continue;
      state.canReachEnd = true;
      work.push(...(before.get(state) ?? []));
    }
  }
}

function setsOf(node: RegexNode): CodePoints[] {
  switch (node.kind) {
    case 'characters':
      return [node.set];
    case 'sequence':
      return node.parts.flatMap(setsOf);
    case 'choice':
      return node.options.flatMap(setsOf);
    case 'repeat':
      return setsOf(node.body);
    default:
      return [];
  }
}

/** All characters, divided so that each set is a union of classes. */
function classesOf(sets: readonly CodePoints[]): CodePoints[] {
  const distinct = [...new Map(sets.map((set) => [set.join(), set])).values()];
  const cuts = new Set([0, ...ANY_CHARACTER.map(([low]) => low)]);
  for (const set of distinct) for (const [low, high] of set) cuts.add(low).add(high + 1);
  const starts = [...cuts].filter((cut) => cut <= MAX_CODE_POINT).toSorted((a, b) => a - b);
  const byMembers = new Map<string, [number, number][]>();
  for (const [i, start] of starts.entries()) {
    const range: [number, number] = [start, (starts[i + 1] ?? MAX_CODE_POINT + 1) - 1];
    const members = distinct.map((set) => (hasCodePoint(set, start) ? 1 : 0)).join('');
    const same = byMembers.get(members);
    if (same === undefined) byMembers.set(members, [range]);
    else same.push(range);
  }
  const classes = Array.from(byMembers.values(), codePoints).filter(({ length }) => length > 0);
  if (classes.length > MAX_CLASSES) throw new ConstraintError('patterns tell too many kinds of characters apart');
  return classes;
}
