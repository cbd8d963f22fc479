/**
 * JSON texts (RFC 8259) as expressions: strings, numbers, any value, and where white space may stand. Knows no schemas.
 * What is written is a part of what JSON allows: numbers are finite and \u stands for no half of a surrogate pair.
 */
import {
  ANY_CHARACTER,
  characterExpression,
  charactersOf,
  codePoints,
  differenceOf,
  hasCodePoint,
  intersectionOf,
  type CodePoints,
} from './code-points.ts';
import type { Expression, ExpressionTable } from './expression.ts';

/** How JSON may be spaced: 'limited' allows at most one space, or one line break with indentation, where JSON allows any; 'compact' none. */
export type WhiteSpace = 'limited' | 'compact';

/** Deepest indentation of 'limited' white space, in spaces and in tabs. */
const MAX_INDENT = 40;
const MAX_TABS = 10;
/** 15 digits are exact in a double. */
const MAX_INTEGER_DIGITS = 15;
const MAX_FRACTION_DIGITS = 17;
const MAX_EXPONENT_DIGITS = 2;

const ESCAPED = codePoints([[0, 0x1f], ...charactersOf('"\\')]);
const UNESCAPED = differenceOf(ANY_CHARACTER, ESCAPED);
const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

export class JsonText {
  readonly table: ExpressionTable;
  /** After an opening bracket or a comma, and before a closing bracket. */
  readonly gap: Expression;
  readonly comma: Expression;
  readonly colon: Expression;
  /** Any character of a string, escaped or not. */
  readonly stringCharacter: Expression;
  readonly string: Expression;
  readonly integer: Expression;
  readonly number: Expression;
  readonly object: Expression;
  readonly value: Expression;

  constructor(table: ExpressionTable, whiteSpace: WhiteSpace) {
    this.table = table;
    const space = table.literal(' ');
    const indent = table.choice(table.repeat(space, 0, MAX_INDENT), table.repeat(table.literal('\t'), 1, MAX_TABS));
    const isCompact = whiteSpace === 'compact';
    this.gap = isCompact ? table.empty : table.choice(table.empty, space, table.sequence(table.literal('\n'), indent));
    this.comma = table.sequence(table.literal(','), this.gap);
    this.colon = table.sequence(table.literal(':'), isCompact ? table.empty : table.optional(space));
    this.stringCharacter = this.#anyStringCharacter();
    this.string = this.stringOf(table.repeat(this.stringCharacter, 0, Infinity));
    this.integer = table.scope(this.#integer());
    this.number = table.scope(this.#number());
    const value = table.rule('value');
    this.value = table.call(value);
    const member = table.sequence(this.string, this.colon, this.value);
    this.object = table.scope(this.#list('{', member, '}'));
    value.body = table.choice(
      this.object,
      table.scope(this.#list('[', this.value, ']')),
      this.string,
      this.number,
      this.literal(true),
      this.literal(false),
      this.literal(null),
    );
  }

  /** A value written as JSON.stringify does. */
  literal(value: unknown): Expression {
    return this.table.literal(JSON.stringify(value));
  }

  /** A string of what `characters` describes, in its quotes. */
  stringOf(characters: Expression): Expression {
    const quote = this.table.literal('"');
    return this.table.scope(this.table.sequence(quote, characters, quote));
  }

  /** One character of a set, as it stands in a string. */
  characterOf(set: CodePoints): Expression {
    const { table } = this;
    const escapes: Expression[] = [];
    for (const [low, high] of intersectionOf(set, ESCAPED)) {
      for (let codePoint = low; codePoint <= high; codePoint++) escapes.push(this.#escape(codePoint));
    }
    return table.choice(characterExpression(table, intersectionOf(set, UNESCAPED)), ...escapes);
  }

  /** In brackets, with white space where it may be; just the brackets where `items` is empty. */
  bracketed(open: string, items: Expression, close: string): Expression {
    const { table, gap } = this;
    return table.sequence(table.literal(open), gap, items, gap, table.literal(close));
  }

  #list(open: string, item: Expression, close: string): Expression {
    const { table, comma } = this;
    const items = table.sequence(item, table.repeat(table.sequence(comma, item), 0, Infinity));
    return table.choice(table.literal(open + close), this.bracketed(open, items, close));
  }

  #escape(codePoint: number): Expression {
    const { table } = this;
    const short = SHORT_ESCAPES[String.fromCodePoint(codePoint)];
    if (short !== undefined) return table.literal(short);
    const digits = Array.from(codePoint.toString(16).padStart(4, '0'), (digit) =>
      characterExpression(table, charactersOf(digit + digit.toUpperCase())),
    );
    return table.sequence(table.literal('\\u'), ...digits);
  }

  #anyStringCharacter(): Expression {
    const { table } = this;
    const oneOf = (characters: string) => characterExpression(table, charactersOf(characters));
    const hex = oneOf('0123456789abcdefABCDEF');
    const unicode = table.choice(
      table.sequence(oneOf('0123456789abcefABCEF'), hex, hex, hex),
      table.sequence(oneOf('dD'), oneOf('01234567'), hex, hex),
    );
    const escape = table.choice(oneOf('"\\/bfnrt'), table.sequence(table.literal('u'), unicode));
    return table.choice(characterExpression(table, UNESCAPED), table.sequence(table.literal('\\'), escape));
  }

  #integer(): Expression {
    const { table } = this;
    const digits = table.repeat(table.byteRange(0x30, 0x39), 0, MAX_INTEGER_DIGITS - 1);
    const positive = table.choice(table.literal('0'), table.sequence(table.byteRange(0x31, 0x39), digits));
    return table.sequence(table.optional(table.literal('-')), positive);
  }

  #number(): Expression {
    const { table } = this;
    const digit = table.byteRange(0x30, 0x39);
    const oneOf = (characters: string) => characterExpression(table, charactersOf(characters));
    const fraction = table.sequence(table.literal('.'), table.repeat(digit, 1, MAX_FRACTION_DIGITS));
    const exponent = table.sequence(
      oneOf('eE'),
      table.optional(oneOf('+-')),
      table.repeat(digit, 1, MAX_EXPONENT_DIGITS),
    );
    return table.sequence(this.#integer(), table.optional(fraction), table.optional(exponent));
  }
}

/** Whether a character of a string must be escaped. */
export function mustEscape(codePoint: number): boolean {
  return hasCodePoint(ESCAPED, codePoint);
}
