/**
 * Parses regular expressions in the part of ECMAScript's syntax (with the u flag, ES2023) that describes regular languages: no back
 * references, no looking around, no word boundaries. Greed makes no difference to what matches.
 */
import { ConstraintError } from '../util/errors.ts';
import { ANY_CHARACTER, charactersOf, codePoints, complementOf, type CodePoints } from './code-points.ts';

export type RegexNode =
  | { kind: 'characters'; set: CodePoints }
  | { kind: 'sequence'; parts: readonly RegexNode[] }
  | { kind: 'choice'; options: readonly RegexNode[] }
  | { kind: 'repeat'; body: RegexNode; min: number; max: number }
  | { kind: 'begin' }
  | { kind: 'end' };

/** Deeper nesting is refused, so that no recursion over the tree can overflow. */
const MAX_DEPTH = 200;
/** More rounds of {min,max} are refused. */
const MAX_ROUNDS = 100_000;

const DIGIT = charactersOf('0123456789');
const WORD = codePoints([...DIGIT, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]]);
const SPACE = codePoints([
  ...charactersOf('\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff'),
  [0x2000, 0x200a],
]);
const LINE_ENDS = charactersOf('\n\r\u2028\u2029');
const CLASSES: Readonly<Record<string, CodePoints>> = {
  d: DIGIT,
  D: complementOf(DIGIT),
  w: WORD,
  W: complementOf(WORD),
  s: SPACE,
  S: complementOf(SPACE),
};
const CONTROLS: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13 };

/** The tree of a pattern; what is wrong or not supported is a ConstraintError. */
export function parseRegex(pattern: string): RegexNode {
  return new RegexParser(pattern).parse();
}

class RegexParser {
  readonly #pattern: string;
  readonly #characters: readonly string[];
  #at = 0;
  #depth = 0;

  constructor(pattern: string) {
    this.#pattern = pattern;
    this.#characters = [...pattern];
  }

  parse(): RegexNode {
    const node = this.#choice();
    if (this.#at < this.#characters.length) throw this.#error('a ) without its (');
    return node;
  }

  #choice(): RegexNode {
    if (++this.#depth > MAX_DEPTH) throw this.#error('too many nested groups');
    const options = [this.#sequence()];
    while (this.#take('|')) options.push(this.#sequence());
    this.#depth--;
    return options.length === 1 ? options[0]! : { kind: 'choice', options };
  }

  #sequence(): RegexNode {
    const parts: RegexNode[] = [];
    for (let next = this.#peek(); next !== null && next !== '|' && next !== ')'; next = this.#peek()) {
      parts.push(this.#repeated(this.#atom()));
    }
    return parts.length === 1 ? parts[0]! : { kind: 'sequence', parts };
  }

  #atom(): RegexNode {
    const character = this.#next();
    switch (character) {
      case '^':
        return { kind: 'begin' };
      case '$':
        return { kind: 'end' };
      case '.':
        return { kind: 'characters', set: complementOf(LINE_ENDS) };
      case '(':
        return this.#group();
      case '[':
        return { kind: 'characters', set: this.#class() };
      case '\\':
        return { kind: 'characters', set: this.#escape(false) };
      case '*':
      case '+':
      case '?':
        throw this.#error('nothing to repeat');
      case '{':
        if (this.#rounds() !== null) throw this.#error('nothing to repeat');
    }
    return { kind: 'characters', set: charactersOf(character) };
  }

  #group(): RegexNode {
    if (this.#take('?')) {
      if (this.#take('<')) {
        if (this.#peek() === '=' || this.#peek() === '!') throw this.#error('looking behind is not supported');
        while (!this.#take('>')) this.#next();
      } else if (!this.#take(':')) {
        throw this.#error('of the groups that begin with (? only (?: and (?<name> are supported');
      }
    }
    const node = this.#choice();
    if (!this.#take(')')) throw this.#error('a ( without its )');
    return node;
  }

  #repeated(body: RegexNode): RegexNode {
    const rounds = this.#quantifier();
    if (rounds === null) return body;
    if (body.kind === 'begin' || body.kind === 'end') throw this.#error('an anchor cannot be repeated');
    this.#take('?'); // lazy: the same language
    if (this.#peek() === '+' || this.#quantifierFollows()) throw this.#error('nothing to repeat');
    const [min, max] = rounds;
    if (min > max) throw this.#error('the limits of a repetition are in the wrong order');
    if (min > MAX_ROUNDS || (max > MAX_ROUNDS && max !== Infinity)) {
      throw this.#error(`more than ${MAX_ROUNDS} rounds of a repetition`);
    }
    return { kind: 'repeat', body, min, max };
  }

  #quantifier(): [number, number] | null {
    if (this.#take('*')) return [0, Infinity];
    if (this.#take('+')) return [1, Infinity];
    if (this.#take('?')) return [0, 1];
    if (!this.#take('{')) return null;
    const rounds = this.#rounds();
    if (rounds === null) this.#at--; // a brace that is only a brace
    return rounds;
  }

  #quantifierFollows(): boolean {
    const start = this.#at;
    const follows = this.#quantifier() !== null;
    this.#at = start;
    return follows;
  }

  /** What stands after {, or null (and nothing read) if it is no repetition. */
  #rounds(): [number, number] | null {
    const rest = this.#characters.slice(this.#at, this.#at + 32).join('');
    const match = /^(\d+)(,(\d*))?\}/.exec(rest);
    if (match === null) return null;
    this.#at += match[0].length;
    const min = Number(match[1]);
    return [min, match[2] === undefined ? min : match[3] === '' ? Infinity : Number(match[3])];
  }

  #class(): CodePoints {
    const isNegated = this.#take('^');
    const ranges: (readonly [number, number])[] = [];
    while (!this.#take(']')) {
      const set = this.#classAtom();
      if (this.#peek() === '-' && this.#characters[this.#at + 1] !== ']' && isOne(set)) {
        this.#at++;
        const last = this.#classAtom();
        if (!isOne(last)) throw this.#error('a range must end with a character');
        if (last[0]![0] < set[0]![0]) throw this.#error('a range of characters in the wrong order');
        ranges.push([set[0]![0], last[0]![0]]);
      } else {
        ranges.push(...set);
      }
    }
    const set = codePoints(ranges);
    return isNegated ? complementOf(set) : set;
  }

  #classAtom(): CodePoints {
    const character = this.#next();
    return character === '\\' ? this.#escape(true) : charactersOf(character);
  }

  #escape(isInClass: boolean): CodePoints {
    const character = this.#next();
    const known = CLASSES[character];
    if (known !== undefined) return known;
    const control = CONTROLS[character];
    if (control !== undefined) return [[control, control]];
    if (character === '0' && !/\d/.test(this.#peek() ?? '')) return [[0, 0]];
    if (character === 'x') return this.#hex(/^[0-9a-f]{2}/i);
    if (character === 'u') return this.#unicode();
    if (isInClass && character === 'b') return [[8, 8]];
    if (/[a-z0-9]/i.test(character)) throw this.#error(`\\${character} is not supported`);
    return charactersOf(character);
  }

  #unicode(): CodePoints {
    const rest = this.#characters.slice(this.#at, this.#at + 10).join('');
    const braced = /^\{([0-9a-f]{1,6})\}/i.exec(rest);
    const pair = /^(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})/i.exec(rest);
    let codePoint: number;
    if (braced !== null) {
      this.#at += braced[0].length;
      codePoint = Number.parseInt(braced[1]!, 16);
    } else if (pair !== null) {
      this.#at += pair[0].length;
      codePoint = String.fromCharCode(Number.parseInt(pair[1]!, 16), Number.parseInt(pair[2]!, 16)).codePointAt(0)!;
    } else {
      return this.#hex(/^[0-9a-f]{4}/i);
    }
    const set = codePoints([[codePoint, codePoint]]);
    if (set.length === 0) throw this.#error('an escape that is no character');
    return set;
  }

  #hex(digits: RegExp): CodePoints {
    const match = digits.exec(this.#characters.slice(this.#at, this.#at + 4).join(''));
    if (match === null) throw this.#error('an escape without its hexadecimal digits');
    this.#at += match[0].length;
    const set = codePoints([[Number.parseInt(match[0], 16), Number.parseInt(match[0], 16)]]);
    if (set.length === 0) throw this.#error('half of a surrogate pair is no character');
    return set;
  }

  #peek(): string | null {
    return this.#characters[this.#at] ?? null;
  }

  #next(): string {
    const character = this.#characters[this.#at++];
    if (character === undefined) throw this.#error('it ends too early');
    return character;
  }

  #take(character: string): boolean {
    if (this.#characters[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #error(what: string): ConstraintError {
    const shown = this.#pattern.length > 80 ? `${this.#pattern.slice(0, 80)}…` : this.#pattern;
    return new ConstraintError(`The regular expression ${shown} cannot be used: ${what}, at character ${this.#at}.`);
  }
}

function isOne(set: CodePoints): boolean {
  return set.length === 1 && set[0]![0] === set[0]![1];
}

/** Matches every character, line ends too. */
export const ANYTHING: RegexNode = {
  kind: 'repeat',
  body: { kind: 'characters', set: ANY_CHARACTER },
  min: 0,
  max: Infinity,
};
