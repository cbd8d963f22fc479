/**
 * Regular expressions of tokenizer files (Oniguruma's dialect, as Hugging Face uses it) as JavaScript ones that match the same text.
 * White space, letters and numbers come from unicode-ranges.ts; `(?i:...)` is written out, because Node 20 lacks it;
 * possessive quantifiers become a look-ahead with a back-reference. What has no equal here is refused by name,
 * and so is what a hostile file could make us wait for.
 */
import { codePointClasses, LETTER, NEWLINE, NUMBER, SPACE } from './code-point-classes.ts';
import { costProblem } from './regexp-cost.ts';
import { FormatError } from '../util/errors.ts';

/** JavaScript expression (flags g, v) for `source`; `where` names the place in the file for errors. */
export function translateRegExp(source: string, where: string): RegExp {
  const translated = new Translator(source, where).translate();
  const compiled = compile(translated, source, where);
  const problem = costProblem(translated);
  if (problem === null) return compiled;
  throw new FormatError(
    `${where}: the regular expression ${shown(source)} is refused, because it could take unreasonably long (${problem}); ` +
      'use a tokenizer with a GPT-2 or Llama 3 pattern.',
  );
}

function compile(translated: string, source: string, where: string): RegExp {
  try {
    return new RegExp(translated, 'gv');
  } catch (cause) {
    // The engine's own message quotes the translation, which is long.
    throw new FormatError(`${where}: the regular expression ${shown(source)} is not valid; use an undamaged file.`, {
      cause,
    });
  }
}

function shown(source: string): string {
  return source.length > 200 ? `${source.slice(0, 200)}…` : source;
}

const SPECIAL_GROUP = /^\((?:\?(?:[:!=]|<[=!]|i:|i\)))?/;
/** Classes within classes; deeper ones are refused, so that the recursion over them cannot overflow. */
const MAX_CLASS_DEPTH = 50;
const QUANTIFIER = /^(?:[*+?]|\{\d+(?:,\d*)?\})/;

class Translator {
  readonly #source: string;
  readonly #where: string;
  #pos = 0;
  #out = '';
  #atomStart = 0; // in #out, where the atom begins that a quantifier would follow
  #ignoreCase = false;
  #numPossessive = 0;
  readonly #open: { start: number; ignoreCase: boolean }[] = [];

  constructor(source: string, where: string) {
    this.#source = source;
    this.#where = where;
  }

  translate(): string {
    while (this.#pos < this.#source.length) this.#step();
    return this.#out;
  }

  #step(): void {
    const char = this.#source[this.#pos]!;
    if (char === '(') return this.#openGroup();
    if (char === ')') return this.#closeGroup();
    if (char === '^' || char === '$') throw this.#unsupported(char);
    const quantifier = QUANTIFIER.exec(this.#source.slice(this.#pos));
    if (quantifier !== null) return this.#quantify(quantifier[0]);
    this.#atomStart = this.#out.length;
    this.#out += this.#atom(char);
  }

  #atom(char: string): string {
    if (char === '[') return this.#charClass();
    if (char === '\\') return this.#escape(false);
    if (char === '|') return this.#take(1);
    const literal = this.#takeCodePoint();
    return literal === '.' ? '[^\\n]' : this.#literal(literal);
  }

  #openGroup(): void {
    const opening = SPECIAL_GROUP.exec(this.#source.slice(this.#pos))![0];
    if (opening === '(' && this.#source[this.#pos + 1] === '?') {
      throw this.#unsupported(this.#source.slice(this.#pos, this.#pos + 3));
    }
    this.#pos += opening.length;
    if (opening === '(?i)') {
      this.#ignoreCase = true;
      return;
    }
    this.#open.push({ start: this.#out.length, ignoreCase: this.#ignoreCase });
    if (opening === '(?i:') this.#ignoreCase = true;
    this.#out += opening === '(?i:' || opening === '(' ? '(?:' : opening;
  }

  #closeGroup(): void {
    const group = this.#open.pop();
    if (group === undefined) throw this.#unsupported(')');
    this.#out += this.#take(1);
    this.#atomStart = group.start;
    this.#ignoreCase = group.ignoreCase;
  }

  #quantify(quantifier: string): void {
    this.#out += this.#take(quantifier.length);
    const suffix = this.#source[this.#pos];
    if (suffix === '?') {
      this.#out += this.#take(1);
    } else if (suffix === '+') {
      if (quantifier.startsWith('{')) throw this.#unsupported(`${quantifier}+`); // Oniguruma: repeated repetition
      this.#pos++;
      const name = `possessive${this.#numPossessive++}`;
      this.#out = `${this.#out.slice(0, this.#atomStart)}(?=(?<${name}>${this.#out.slice(this.#atomStart)}))\\k<${name}>`;
    }
  }

  #charClass(depth = 1): string {
    if (depth > MAX_CLASS_DEPTH) throw this.#unsupported('more than 50 nested classes');
    let out = this.#take(1);
    if (this.#source[this.#pos] === '^') out += this.#take(1);
    for (let isFirst = true; ; isFirst = false) {
      const char = this.#source[this.#pos];
      if (char === undefined) throw this.#unsupported('[ without ]');
      if (char === ']' && !isFirst) return out + this.#take(1);
      if (char === '[') {
        if (this.#source[this.#pos + 1] === ':') throw this.#unsupported('[: :]');
        out += this.#charClass(depth + 1);
      } else if (this.#source.startsWith('&&', this.#pos)) {
        throw this.#unsupported('&&');
      } else {
        out += this.#classMember();
      }
    }
  }

  #classMember(): string {
    if (this.#source[this.#pos] === '\\') {
      const escaped = this.#escape(true);
      if (escaped.startsWith('[') || escaped.startsWith('\\p') || escaped.startsWith('\\P')) return escaped;
      return this.#range(escaped);
    }
    return this.#range(unicodeEscape(this.#takeCodePoint()));
  }

  /** A single code point or, if "-" and an end follow, a range of them; both cases of it where case is ignored. */
  #range(first: string): string {
    const isRange = this.#source[this.#pos] === '-' && this.#source[this.#pos + 1] !== ']';
    if (!isRange) return this.#ignoreCase ? bothCases(first).map(unicodeEscape).join('') : first;
    this.#pos++;
    const last = this.#source[this.#pos] === '\\' ? this.#escape(true) : unicodeEscape(this.#takeCodePoint());
    if (this.#ignoreCase) throw this.#unsupported('a range inside (?i:)');
    return `${first}-${last}`;
  }

  #escape(inClass: boolean): string {
    const escaped = this.#source[this.#pos + 1];
    const property = /^\\([pP])\{(\^?)(\w+)\}/.exec(this.#source.slice(this.#pos));
    if (property !== null) {
      this.#pos += property[0].length;
      const isNegated = (property[1] === 'P') !== (property[2] === '^');
      return this.#property(property[3]!, isNegated);
    }
    const hex = /^\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|x\{([0-9a-fA-F]+)\})/.exec(this.#source.slice(this.#pos));
    if (hex !== null) {
      this.#pos += hex[0].length;
      return unicodeEscape(String.fromCodePoint(parseInt(hex[1] ?? hex[2] ?? hex[3]!, 16)));
    }
    this.#pos += 2;
    if (escaped === undefined) throw this.#unsupported('\\ at the end');
    if ('nrtfv'.includes(escaped)) return `\\${escaped}`;
    if (escaped === 's' || escaped === 'S') return classOf([SPACE, NEWLINE], escaped === 'S');
    if (escaped === 'd' || escaped === 'D') return `\\${escaped === 'd' ? 'p' : 'P'}{Nd}`;
    if (/[A-Za-z0-9]/.test(escaped)) throw this.#unsupported(`\\${escaped}`);
    return inClass ? unicodeEscape(escaped) : this.#literal(escaped);
  }

  #property(name: string, isNegated: boolean): string {
    if (name === 'L') return classOf([LETTER], isNegated);
    if (name === 'N') return classOf([NUMBER], isNegated);
    const letter = isNegated ? 'P' : 'p';
    for (const candidate of [`\\${letter}{${name}}`, `\\${letter}{Script=${name}}`]) {
      if (isValid(candidate)) return candidate;
    }
    throw this.#unsupported(`\\p{${name}}`);
  }

  #literal(char: string): string {
    if (!this.#ignoreCase) return unicodeEscape(char);
    const cases = bothCases(unicodeEscape(char));
    return cases.length === 1 ? unicodeEscape(char) : `[${cases.map(unicodeEscape).join('')}]`;
  }

  #take(count: number): string {
    this.#pos += count;
    return this.#source.slice(this.#pos - count, this.#pos);
  }

  #takeCodePoint(): string {
    const char = String.fromCodePoint(this.#source.codePointAt(this.#pos)!);
    this.#pos += char.length;
    return char;
  }

  #unsupported(what: string): FormatError {
    return new FormatError(
      `${this.#where}: the regular expression ${shown(this.#source)} uses ${what}, which is not supported here; ` +
        'use a tokenizer with a GPT-2 or Llama 3 pattern.',
    );
  }
}

function unicodeEscape(char: string): string {
  return `\\u{${char.codePointAt(0)!.toString(16)}}`;
}

/** The characters that equal the escaped one when case is ignored: Unicode simple case folding. */
function bothCases(escaped: string): string[] {
  const hex = /^\\u\{([0-9a-f]+)\}$/.exec(escaped);
  if (hex === null) return [escaped];
  const char = String.fromCodePoint(parseInt(hex[1]!, 16));
  const cases = new Set([char, char.toLowerCase(), char.toUpperCase()]);
  if (cases.has('s')) cases.add('\u017f');
  if (cases.has('k')) cases.add('\u212a');
  return [...cases].filter((variant) => [...variant].length === 1);
}

function isValid(pattern: string): boolean {
  try {
    return new RegExp(pattern, 'v').test('') || true;
  } catch {
    return false;
  }
}

const classSources = new Map<string, string>();

/** Character class of all code points of the given classes. */
function classOf(wanted: readonly number[], isNegated: boolean): string {
  const key = wanted.join();
  let ranges = classSources.get(key);
  if (ranges === undefined) {
    ranges = '';
    const classes = codePointClasses();
    for (let first = 0; first < classes.length; first++) {
      if (!wanted.includes(classes[first]!)) continue;
      let last = first;
      while (last + 1 < classes.length && wanted.includes(classes[last + 1]!)) last++;
      ranges += `\\u{${first.toString(16)}}-\\u{${last.toString(16)}}`;
      first = last;
    }
    classSources.set(key, ranges);
  }
  return `[${isNegated ? '^' : ''}${ranges}]`;
}
