/**
 * Numbers and strings under JSON Schemas that all hold.
 */
import { ConstraintError } from '../util/errors.ts';
import type { Expression } from './expression.ts';
import type { JsonText } from './json-text.ts';
import { integerRange, numberRange, type NumberLimits } from './number-range.ts';
import { nodeExpression, searchTree } from './regex.ts';
import { parseRegex, type RegexNode } from './regex-syntax.ts';
import { child, countOf, numberOf, unsupported, type SchemaPart } from './schema-document.ts';
import type { Term } from './schema-terms.ts';
import { NUMBER_FORMATS, STRING_FORMATS } from './string-formats.ts';
import { stringProduct } from './string-product.ts';

const MAX_MULTIPLE = 1000;
const MAX_LENGTH = 1_000_000;

/** Integers or numbers that all of `term` allow; `never` if there are none. */
export function numericExpression(json: JsonText, term: Term, type: 'integer' | 'number'): Expression {
  const { table } = json;
  const limits = limitsOf(term);
  const hasLimits = limits.min !== -Infinity || limits.max !== Infinity;
  const multiple = multipleOf(term, type);
  if (type === 'number' && multiple === null) {
    return hasLimits ? table.scope(numberRange(table, limits)) : json.number;
  }
  if (!hasLimits && (multiple ?? 1) === 1) return json.integer;
  const min = limits.isMinExclusive ? Math.floor(limits.min) + 1 : Math.ceil(limits.min);
  const max = limits.isMaxExclusive ? Math.ceil(limits.max) - 1 : Math.floor(limits.max);
  return table.scope(integerRange(table, min, max, multiple ?? 1));
}

function limitsOf(term: Term): NumberLimits {
  const limits: NumberLimits = { min: -Infinity, max: Infinity, isMinExclusive: false, isMaxExclusive: false };
  for (const part of term) {
    const [least, most] = formatLimits(part);
    for (const [value, isExclusive] of [
      [least, false],
      [numberOf(part, 'minimum'), false],
      [numberOf(part, 'exclusiveMinimum'), true],
    ] as const) {
      if (value === undefined || value < limits.min || (value === limits.min && !isExclusive)) continue;
      limits.min = value;
      limits.isMinExclusive = isExclusive;
    }
    for (const [value, isExclusive] of [
      [most, false],
      [numberOf(part, 'maximum'), false],
      [numberOf(part, 'exclusiveMaximum'), true],
    ] as const) {
      if (value === undefined || value > limits.max || (value === limits.max && !isExclusive)) continue;
      limits.max = value;
      limits.isMaxExclusive = isExclusive;
    }
  }
  return limits;
}

/** Formats of strings say nothing of numbers. */
function formatLimits(part: SchemaPart): readonly [number, number] {
  const format = part.schema['format'];
  if (format === undefined || isFormat(STRING_FORMATS, format)) return [-Infinity, Infinity];
  if (isFormat(NUMBER_FORMATS, format)) return NUMBER_FORMATS[format]!;
  throw unsupported(part, 'format', `known formats of numbers are ${Object.keys(NUMBER_FORMATS).join(', ')}`);
}

function isFormat(formats: object, name: unknown): name is string {
  return typeof name === 'string' && Object.hasOwn(formats, name);
}

/** What numbers must be a multiple of: integers only, because fractions are not exact in a double. */
function multipleOf(term: Term, type: 'integer' | 'number'): number | null {
  let multiple: number | null = null;
  for (const part of term) {
    const value = numberOf(part, 'multipleOf');
    if (value === undefined) continue;
    if (!Number.isInteger(value) || value < 1) {
      throw unsupported(part, 'multipleOf', `only integers from 1 to ${MAX_MULTIPLE} are`);
    }
    multiple = multiple === null ? value : (multiple * value) / greatestDivisor(multiple, value);
    if (multiple > MAX_MULTIPLE) throw unsupported(part, 'multipleOf', `only integers from 1 to ${MAX_MULTIPLE} are`);
  }
  return type === 'number' || multiple !== null ? multiple : null;
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

/** Strings that all of `term` allow; `never` if there are none. */
export function stringExpression(json: JsonText, term: Term): Expression {
  const { table } = json;
  const min = Math.max(0, ...term.map((part) => lengthOf(part, 'minLength') ?? 0));
  const max = Math.min(Infinity, ...term.map((part) => lengthOf(part, 'maxLength') ?? Infinity));
  const shapes = term.flatMap((part) =>
    (['pattern', 'format'] as const)
      .filter((keyword) => part.schema[keyword] !== undefined && !isFormat(NUMBER_FORMATS, part.schema[keyword]))
      .map((keyword) => ({ part, keyword })),
  );
  if (min > max) return table.never;
  const [shape] = shapes;
  if (shape === undefined) return json.stringOf(table.repeat(json.stringCharacter, min, max));
  const at = child(shape.part.pointer, shape.keyword);
  try {
    const trees = shapes.map(({ part, keyword }) => shapeTree(part, keyword));
    if (trees.length > 1 || min > 0 || max < Infinity) return stringProduct(json, trees, min, max);
    return json.stringOf(nodeExpression(table, trees[0]!, (set) => json.characterOf(set)));
  } catch (cause) {
    if (!(cause instanceof ConstraintError) || cause.pointer !== null) throw cause;
    throw new ConstraintError(`${cause.message.replace(/\.$/, '')} (at ${at}).`, at, { cause });
  }
}

/** The tree, without anchors, of the strings that a pattern or a format allows. */
function shapeTree(part: SchemaPart, keyword: 'pattern' | 'format'): RegexNode {
  const value = part.schema[keyword];
  const pointer = child(part.pointer, keyword);
  if (typeof value !== 'string') throw new ConstraintError(`At ${pointer} there must be a string.`, pointer);
  if (keyword === 'pattern') return searchTree(value);
  if (!isFormat(STRING_FORMATS, value)) {
    throw unsupported(part, keyword, `known formats are ${Object.keys(STRING_FORMATS).join(', ')}`);
  }
  return parseRegex(STRING_FORMATS[value]!);
}

function lengthOf(part: SchemaPart, keyword: 'minLength' | 'maxLength'): number | undefined {
  const value = countOf(part, keyword);
  if (value !== undefined && value > MAX_LENGTH) throw unsupported(part, keyword, `more than ${MAX_LENGTH} characters`);
  return value;
}
