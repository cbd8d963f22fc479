/**
 * Parses GBNF, the grammar notation of llama.cpp, into rules. Source: llama.cpp grammars/README.md.
 */
import { ConstraintError } from '../util/errors.ts';
import { ANY_CHARACTER, charactersOf, codePoints, complementOf, type CodePoints } from './code-points.ts';

export type GbnfNode =
  | { kind: 'characters'; set: CodePoints }
  | { kind: 'sequence'; parts: readonly GbnfNode[] }
  | { kind: 'choice'; options: readonly GbnfNode[] }
  | { kind: 'repeat'; body: GbnfNode; min: number; max: number }
  | { kind: 'call'; name: string };

const MAX_DEPTH = 200;
const MAX_ROUNDS = 100_000;
const MAX_RULES = 5000;
const NAME = /[a-zA-Z0-9_-]+/y;
const ESCAPES: Readonly<Record<string, string>> = { t: '\t', r: '\r', n: '\n' };
const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/** Rules by name. */
export function parseGbnf(source: string): Map<string, GbnfNode> {
  return new GbnfParser(source).parse();
}

class GbnfParser {
  readonly #source: string;
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
  }

  parse(): Map<string, GbnfNode> {
    const rules = new Map<string, GbnfNode>();
    for (this.#space(true); this.#at < this.#source.length; this.#space(true)) {
      const name = this.#name();
      if (name === null) throw this.#error('a rule must begin with its name');
      this.#space(true);
      if (!this.#take('::=')) throw this.#error(`the name ${name} is not followed by ::=`);
      this.#space(true);
      if (rules.has(name)) throw this.#error(`rule ${name} is defined twice`);
      if (rules.size >= MAX_RULES) throw this.#error(`there are more than ${MAX_RULES} rules`);
      rules.set(name, this.#choice(false));
      this.#space(false);
      if (this.#at < this.#source.length && !/[\r\n]/.test(this.#source[this.#at]!)) {
        throw this.#error('this does not belong to a rule');
      }
    }
    return rules;
  }

  #choice(isNested: boolean): GbnfNode {
    if (++this.#depth > MAX_DEPTH) throw this.#error('too many nested groups');
    const options = [this.#sequence(isNested)];
    while (this.#take('|')) {
      this.#space(true);
      options.push(this.#sequence(isNested));
    }
    this.#depth--;
    return options.length === 1 ? options[0]! : { kind: 'choice', options };
  }

  #sequence(isNested: boolean): GbnfNode {
    const parts: GbnfNode[] = [];
    for (let item = this.#item(); item !== null; item = this.#item()) {
      parts.push(this.#repeated(item));
      this.#space(isNested);
    }
    return parts.length === 1 ? parts[0]! : { kind: 'sequence', parts };
  }

  #item(): GbnfNode | null {
    if (this.#take('"')) return this.#literal();
    if (this.#take('[')) return { kind: 'characters', set: this.#class() };
    if (this.#take('.')) return { kind: 'characters', set: ANY_CHARACTER };
    if (this.#take('(')) {
      this.#space(true);
      const node = this.#choice(true);
      if (!this.#take(')')) throw this.#error('a ( without its )');
      return node;
    }
    if (/[<!]/.test(this.#source[this.#at] ?? '')) throw this.#error('tokens by name or number are not supported');
    const name = this.#name();
    return name === null ? null : { kind: 'call', name };
  }

  #repeated(item: GbnfNode): GbnfNode {
    let node = item;
    for (let rounds = this.#rounds(); rounds !== null; rounds = this.#rounds()) {
      const [min, max] = rounds;
      if (min > max) throw this.#error('the limits of a repetition are in the wrong order');
      if (min > MAX_ROUNDS || (max > MAX_ROUNDS && max !== Infinity)) {
        throw this.#error(`more than ${MAX_ROUNDS} rounds of a repetition`);
      }
      node = { kind: 'repeat', body: node, min, max };
    }
    return node;
  }

  #rounds(): [number, number] | null {
    if (this.#take('*')) return [0, Infinity];
    if (this.#take('+')) return [1, Infinity];
    if (this.#take('?')) return [0, 1];
    if (this.#source[this.#at] !== '{') return null;
    const limits = /\{\s*(\d*)\s*(,\s*(\d*)\s*)?\}/y;
    limits.lastIndex = this.#at;
    const match = limits.exec(this.#source);
    if (match === null || (match[1] === '' && match[3] === undefined))
      throw this.#error('a { without its limits and }');
    this.#at = limits.lastIndex;
    const min = Number(match[1]);
    return [min, match[2] === undefined ? min : match[3] === '' ? Infinity : Number(match[3])];
  }

  #literal(): GbnfNode {
    const parts: GbnfNode[] = [];
    while (!this.#take('"')) parts.push({ kind: 'characters', set: charactersOf(this.#character()) });
    return { kind: 'sequence', parts };
  }

  #class(): CodePoints {
    const isNegated = this.#take('^');
    const ranges: [number, number][] = [];
    while (!this.#take(']')) {
      const low = this.#character().codePointAt(0)!;
      let high = low;
      if (this.#source[this.#at] === '-' && this.#source[this.#at + 1] !== ']') {
        this.#at++;
        high = this.#character().codePointAt(0)!;
        if (high < low) throw this.#error('a range of characters in the wrong order');
      }
      ranges.push([low, high]);
    }
    const set = codePoints(ranges);
    return isNegated ? complementOf(set) : set;
  }

  #character(): string {
    const codePoint = this.#source.codePointAt(this.#at);
    if (codePoint === undefined) throw this.#error('it ends within a literal or a class');
    const character = String.fromCodePoint(codePoint);
    this.#at += character.length;
    if (character !== '\\') return character;
    const escape = this.#source[this.#at++] ?? '';
    const numDigits = HEX_DIGITS[escape];
    if (numDigits === undefined) {
      if (ESCAPES[escape] !== undefined) return ESCAPES[escape];
      if ('\\"[]^-'.includes(escape) && escape !== '') return escape;
      throw this.#error(`the escape \\${escape} is not known`);
    }
    const digits = this.#source.slice(this.#at, this.#at + numDigits);
    const value = Number.parseInt(digits, 16);
    if (
      !/^[0-9a-f]+$/i.test(digits) ||
      digits.length < numDigits ||
      value > 0x10ffff ||
      (value & 0x1ff800) === 0xd800
    ) {
      throw this.#error('an escape that is no character');
    }
    this.#at += numDigits;
    return String.fromCodePoint(value);
  }

  #name(): string | null {
    NAME.lastIndex = this.#at;
    const match = NAME.exec(this.#source);
    if (match === null) return null;
    this.#at = NAME.lastIndex;
    return match[0];
  }

  /** Skips white space and comments, line ends only where a rule may go on after them. */
  #space(withLineEnds: boolean): void {
    const space = withLineEnds ? /(?:[ \t\r\n]|#[^\r\n]*)*/y : /(?:[ \t]|#[^\r\n]*)*/y;
    space.lastIndex = this.#at;
    space.exec(this.#source);
    this.#at = space.lastIndex;
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #error(what: string): ConstraintError {
    const line = this.#source.slice(0, this.#at).split('\n').length;
    return new ConstraintError(`The grammar cannot be read at line ${line}: ${what}.`);
  }
}
