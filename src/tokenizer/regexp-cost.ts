/**
 * Finds the regular expressions that a backtracking matcher could take exponential time for, or more than quadratic time, whatever the text.
 * Reads only what regexp-translation.ts writes. Ambiguity of repetitions is that of their position automata
 * (Brüggemann-Klein and Wood 1998, one-unambiguous regular languages).
 */

type Node =
  | { kind: 'set'; source: string }
  | { kind: 'look'; body: Node }
  | { kind: 'possessive'; body: Node }
  | { kind: 'sequence'; parts: readonly Node[] }
  | { kind: 'choice'; options: readonly Node[] }
  | { kind: 'repeat'; body: Node; min: number; max: number };
type Repeat = Extract<Node, { kind: 'repeat' }>;

/** Stands for the length of a text: so many ways has a repetition without a limit. */
const TEXT_LENGTH = 1e5;
/** One repetition without a limit, times what the published patterns need: those stay below 20. A second one is far above. */
const MAX_WAYS = 100 * TEXT_LENGTH;
const MAX_DEPTH = 50;
/** Of an automaton; the largest published one has 36. */
const MAX_POSITIONS = 48;
/** Comparisons of two sets over all code points, a few milliseconds each. */
const MAX_COMPARISONS = 100;

/** Why matching a translated expression may take too long, as the end of a sentence; null if it cannot. */
export function costProblem(translated: string): string | null {
  try {
    const tree = new TranslatedParser(translated).parse();
    checkRepetitions(tree, new Overlaps());
    return waysAtEnd(tree) > MAX_WAYS ? 'it has too many parts of varying length in a row' : null;
  } catch (error) {
    if (error instanceof TooCostly) return error.message;
    throw error;
  }
}

class TooCostly extends Error {}

const OPENING = /\(\?(?:[:!=]|<[=!])/y;
/** x++ is written (?=(?<name>x+))\k<name>. */
const POSSESSIVE_OPENING = /\(\?=\(\?<\w+>/y;
const POSSESSIVE_END = /\)\)\\k<\w+>/y;
const ESCAPE = /\\(?:[pPu]\{[^}]*\}|[^])/y;
const QUANTIFIER = /(?:([*+?])|\{(\d+)(,(\d*))?\})\??/y;

class TranslatedParser {
  readonly #source: string;
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
  }

  parse(): Node {
    if (++this.#depth > MAX_DEPTH) throw new TooCostly('its groups are nested too deeply');
    const options = [this.#sequence()];
    while (this.#source[this.#at] === '|') {
      this.#at++;
      options.push(this.#sequence());
    }
    this.#depth--;
    return options.length === 1 ? options[0]! : { kind: 'choice', options };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    while (this.#at < this.#source.length && !'|)'.includes(this.#source[this.#at]!)) {
      parts.push(this.#repeated(this.#atom()));
    }
    return parts.length === 1 ? parts[0]! : { kind: 'sequence', parts };
  }

  #atom(): Node {
    if (this.#take(POSSESSIVE_OPENING) !== null) {
      const body = this.parse();
      this.#take(POSSESSIVE_END);
      return { kind: 'possessive', body };
    }
    const opening = this.#take(OPENING)?.[0];
    if (opening !== undefined) {
      const body = this.parse();
      this.#at++;
      return /[=!]$/.test(opening) ? { kind: 'look', body } : body;
    }
    const start = this.#at;
    if (this.#source[start] === '[') this.#skipClass();
    else if (this.#take(ESCAPE) === null) this.#at++;
    return { kind: 'set', source: this.#source.slice(start, this.#at) };
  }

  #skipClass(): void {
    let depth = 0;
    do {
      if (this.#take(ESCAPE) !== null) continue;
      const char = this.#source[this.#at++];
      if (char === '[') depth++;
      if (char === ']') depth--;
    } while (depth > 0);
  }

  #repeated(body: Node): Node {
    const match = this.#take(QUANTIFIER);
    if (match === null) return body;
    const [, sign, low, comma, high] = match;
    if (sign !== undefined)
      return { kind: 'repeat', body, min: sign === '+' ? 1 : 0, max: sign === '?' ? 1 : Infinity };
    const max = comma === undefined ? Number(low) : high === '' ? Infinity : Number(high);
    return { kind: 'repeat', body, min: Number(low), max };
  }

  #take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#source);
    this.#at += match?.[0].length ?? 0;
    return match;
  }
}

/** Whether a repetition is of more than one character or set, more than once: only those can be ambiguous in themselves. */
function isCompound({ body, max }: Repeat): boolean {
  return max > 1 && body.kind !== 'set';
}

function childrenOf(node: Node): readonly Node[] {
  switch (node.kind) {
    case 'sequence':
      return node.parts;
    case 'choice':
      return node.options;
    case 'set':
      return [];
    default:
      return [node.body];
  }
}

const product = (values: readonly number[]): number => values.reduce((all, value) => all * value, 1);
const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

/** In how many ways a node can match at one place, at most: so often the matcher tries what follows. What it only looks at counts too. */
function ways(node: Node): number {
  switch (node.kind) {
    case 'choice':
      return sum(node.options.map(ways));
    case 'set':
      return 1;
    case 'repeat': {
      const { body, min, max } = node;
      if (max <= 1) return 1 + ways(body);
      const rounds = Math.min(TEXT_LENGTH, max - min + 1);
      // Unambiguous repetitions have a way for each end in the text, but look around in every round.
      return isCompound(node) ? Math.min(TEXT_LENGTH, rounds * ways(body)) * waysOfLooks(body) : rounds;
    }
    default:
      return product(childrenOf(node).map(ways));
  }
}

function waysOfLooks(node: Node): number {
  return node.kind === 'look' ? ways(node.body) : product(childrenOf(node).map(waysOfLooks));
}

/** The same for a node after which nothing can fail, so that the matcher never comes back for its other ways. */
function waysAtEnd(node: Node): number {
  switch (node.kind) {
    case 'choice':
      return sum(node.options.map(waysAtEnd));
    case 'sequence': {
      const last = node.parts.findLastIndex((part) => !isOptional(part));
      return product(node.parts.map((part, i) => (i < last ? ways(part) : waysAtEnd(part))));
    }
    case 'repeat':
      if (node.max <= 1) return 1 + waysAtEnd(node.body);
      return node.min <= 1 ? waysAtEnd(node.body) : ways(node);
    case 'possessive':
      return waysAtEnd(node.body);
    default:
      return ways(node);
  }
}

function isOptional(node: Node): boolean {
  if (node.kind === 'possessive') return isOptional(node.body);
  return node.kind === 'repeat' && node.min === 0;
}

/** Throws for a repetition that can match the same text by different rounds: its time may double with every character. */
function checkRepetitions(node: Node, overlaps: Overlaps): void {
  if (node.kind === 'repeat' && isCompound(node)) {
    const positions = new Positions();
    const { first } = positions.add(node);
    for (const next of [first, ...positions.follow]) {
      for (const [i, one] of next.entries()) {
        for (const other of next.slice(0, i)) {
          if (one === other || overlaps.has(positions.sets[one]!, positions.sets[other]!)) throw ambiguous();
        }
      }
    }
  }
  for (const child of childrenOf(node)) checkRepetitions(child, overlaps);
}

function ambiguous(): TooCostly {
  return new TooCostly('a repetition in it can match the same text in more than one way');
}

type Part = { canBeEmpty: boolean; first: readonly number[]; last: readonly number[] };
const EMPTY: Part = { canBeEmpty: true, first: [], last: [] };

/** The position automaton (Glushkov's): a state for each set in the expression. Ways that lead twice to a state are kept twice. */
class Positions {
  readonly sets: string[] = [];
  readonly follow: number[][] = [];

  add(node: Node): Part {
    switch (node.kind) {
      case 'set':
        return this.#addSet(node.source);
      case 'sequence':
        return node.parts.map((part) => () => this.add(part)).reduce((all, part) => this.#join(all, part()), EMPTY);
      case 'choice': {
        const options = node.options.map((option) => this.add(option));
        return {
          canBeEmpty: options.some(({ canBeEmpty }) => canBeEmpty),
          first: options.flatMap(({ first }) => first),
          last: options.flatMap(({ last }) => last),
        };
      }
      case 'repeat':
        return this.#repeat(node);
      case 'look':
        return EMPTY;
      case 'possessive':
        return this.add(node.body);
    }
  }

  #addSet(source: string): Part {
    const position = this.sets.push(source) - 1;
    if (position >= MAX_POSITIONS) throw new TooCostly('a repetition in it is too large');
    this.follow.push([]);
    return { canBeEmpty: false, first: [position], last: [position] };
  }

  #join(left: Part, right: Part): Part {
    for (const position of left.last) this.follow[position]!.push(...right.first);
    return {
      canBeEmpty: left.canBeEmpty && right.canBeEmpty,
      first: left.canBeEmpty ? [...left.first, ...right.first] : left.first,
      last: right.canBeEmpty ? [...left.last, ...right.last] : right.last,
    };
  }

  /** Limits are written out: x{2,3} as xx(x)?, x{2,} as xx+. */
  #repeat({ body, min, max }: Repeat): Part {
    const isEndless = max === Infinity;
    const rounds = isEndless ? Math.max(1, min) : max;
    if (rounds > MAX_POSITIONS) throw new TooCostly('a repetition in it is too large');
    let all = EMPTY;
    for (let round = rounds; round > 0; round--) {
      const one = this.add(body);
      if (one.canBeEmpty && max > 1) throw ambiguous();
      if (isEndless && round === rounds) this.#join(one, one);
      all = this.#join(one, all);
      if (round > min) all = { ...all, canBeEmpty: true };
    }
    return all;
  }
}

/** Which sets have a character in common. */
class Overlaps {
  readonly #known = new Map<string, boolean>();
  #codePoints: string | null = null;

  has(one: string, other: string): boolean {
    if (one === other) return true;
    const both = one < other ? `[${one}&&${other}]` : `[${other}&&${one}]`;
    let overlap = this.#known.get(both);
    if (overlap === undefined) {
      if (this.#known.size >= MAX_COMPARISONS) throw new TooCostly('a repetition in it is too large');
      this.#codePoints ??= allCodePoints();
      overlap = new RegExp(both, 'v').test(this.#codePoints);
      this.#known.set(both, overlap);
    }
    return overlap;
  }
}

function allCodePoints(): string {
  const chunks: string[] = [];
  for (let start = 0; start < 0x110000; start += 0x400) {
    if (start >= 0xd800 && start < 0xe000) continue; // surrogates are no characters
    chunks.push(String.fromCodePoint(...Array.from({ length: 0x400 }, (_, i) => start + i)));
  }
  return chunks.join('');
}
