/**
 * Numbers within limits as expressions over their decimal digits, exactly: what is written, read as a double, keeps the limits.
 * At most 15 digits are written, so different numbers are different doubles.
 */
import type { Expression, ExpressionTable } from './expression.ts';

/** Limits of a number; infinite where there is none. */
export type NumberLimits = {
  min: number;
  max: number;
  isMinExclusive: boolean;
  isMaxExclusive: boolean;
};

const MAX_DIGITS = 15;
const LARGEST = 10 ** MAX_DIGITS - 1;
const ZERO = 0x30;

/** Integers from `min` to `max` that are multiples of `multiple`; the empty language (never) if there are none. */
export function integerRange(table: ExpressionTable, min: number, max: number, multiple = 1): Expression {
  const positive = unsignedIntegers(table, Math.max(min, 0), Math.min(max, LARGEST), multiple);
  const negative = unsignedIntegers(table, Math.max(-max, 1), Math.min(-min, LARGEST), multiple);
  return table.choice(positive, table.sequence(table.literal('-'), negative));
}

function unsignedIntegers(table: ExpressionTable, min: number, max: number, multiple: number): Expression {
  const options: Expression[] = [];
  for (let length = 1; length <= MAX_DIGITS; length++) {
    const low = Math.max(min, length === 1 ? 0 : 10 ** (length - 1));
    const high = Math.min(max, 10 ** length - 1);
    if (low <= high) options.push(new DigitWalk(table, String(low), String(high), multiple).expression);
  }
  return table.choice(...options);
}

/** All digit strings of one length between two, of a number that is a multiple. */
class DigitWalk {
  readonly expression: Expression;
  readonly #table: ExpressionTable;
  readonly #low: string;
  readonly #high: string;
  readonly #multiple: number;
  readonly #known = new Map<string, Expression>();

  constructor(table: ExpressionTable, low: string, high: string, multiple: number) {
    this.#table = table;
    this.#low = low;
    this.#high = high;
    this.#multiple = multiple;
    this.expression = this.#from(0, true, true, 0);
  }

  /** The digits from `at` on; `atLow`, `atHigh`: those before are those of the limit. */
  #from(at: number, atLow: boolean, atHigh: boolean, remainder: number): Expression {
    const table = this.#table;
    if (at === this.#low.length) return remainder === 0 ? table.empty : table.never;
    const key = `${at},${atLow},${atHigh},${remainder}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const first = atLow ? Number(this.#low[at]) : 0;
    const last = atHigh ? Number(this.#high[at]) : 9;
    const options: Expression[] = [];
    for (let digit = first; digit <= last; digit++) {
      const rest = this.#from(
        at + 1,
        atLow && digit === first,
        atHigh && digit === last,
        (remainder * 10 + digit) % this.#multiple,
      );
      options.push(table.sequence(table.byteRange(ZERO + digit, ZERO + digit), rest));
    }
    const made = table.choice(...options);
    this.#known.set(key, made);
    return made;
  }
}

/** Numbers within limits, with a fraction or not; the empty language (never) if there are none. */
export function numberRange(table: ExpressionTable, limits: NumberLimits): Expression {
  const { min, max, isMinExclusive, isMaxExclusive } = limits;
  const positive = new DecimalWalk(table, {
    min: Math.max(min, 0),
    max,
    isMinExclusive: min >= 0 && isMinExclusive,
    isMaxExclusive,
  });
  const negative = new DecimalWalk(table, {
    min: Math.max(-max, 0),
    max: -min,
    isMinExclusive: max >= 0 || isMaxExclusive,
    isMaxExclusive: isMinExclusive,
  });
  return table.choice(positive.expression(), table.sequence(table.literal('-'), negative.expression()));
}

/** Decimals without sign between two limits. */
class DecimalWalk {
  readonly #table: ExpressionTable;
  readonly #limits: NumberLimits;
  readonly #low: { whole: string; fraction: string };
  readonly #high: { whole: string; fraction: string } | null;
  readonly #known = new Map<string, Expression>();

  constructor(table: ExpressionTable, limits: NumberLimits) {
    this.#table = table;
    this.#limits = limits;
    this.#low = decimalDigits(limits.min);
    this.#high = limits.max > LARGEST ? null : decimalDigits(limits.max);
  }

  expression(): Expression {
    const { min, max } = this.#limits;
    if (min > max || min > LARGEST) return this.#table.never;
    const options: Expression[] = [];
    for (let length = this.#low.whole.length; length <= (this.#high?.whole.length ?? MAX_DIGITS); length++) {
      options.push(this.#whole(length, 0, length === this.#low.whole.length, length === this.#high?.whole.length));
    }
    return this.#table.choice(...options);
  }

  /** The digits of the whole part from `at` on, and the fraction. */
  #whole(length: number, at: number, atLow: boolean, atHigh: boolean): Expression {
    const table = this.#table;
    if (at === length) {
      const fraction = table.sequence(table.literal('.'), this.#fraction(MAX_DIGITS - length, 0, atLow, atHigh));
      return this.#mayEnd(0, atLow, atHigh) ? table.optional(fraction) : fraction;
    }
    return this.#once(`w${length},${at},${atLow},${atHigh}`, () => {
      const smallest = at === 0 && length > 1 ? 1 : 0; // no leading zeros
      const first = atLow ? Math.max(smallest, Number(this.#low.whole[at])) : smallest;
      const last = atHigh ? Number(this.#high!.whole[at]) : 9;
      return this.#digits(first, last, (digit) =>
        this.#whole(length, at + 1, atLow && digit === Number(this.#low.whole[at]), atHigh && digit === last),
      );
    });
  }

  /** At least one digit of the fraction, at most `room`. */
  #fraction(room: number, at: number, atLow: boolean, atHigh: boolean): Expression {
    const table = this.#table;
    if (room === 0) return table.never;
    return this.#once(`f${room},${at},${atLow},${atHigh}`, () => {
      const first = atLow ? digitAt(this.#low.fraction, at) : 0;
      const last = atHigh ? digitAt(this.#high!.fraction, at) : 9;
      return this.#digits(first, last, (digit) => {
        const isAtLow = atLow && digit === first;
        const isAtHigh = atHigh && digit === last;
        const more = this.#fraction(room - 1, at + 1, isAtLow, isAtHigh);
        return this.#mayEnd(at + 1, isAtLow, isAtHigh) ? table.optional(more) : more;
      });
    });
  }

  /** Whether the number may end after `at` digits of the fraction. */
  #mayEnd(at: number, atLow: boolean, atHigh: boolean): boolean {
    if (atLow && (restIsPositive(this.#low.fraction, at) || this.#limits.isMinExclusive)) return false;
    return !(atHigh && this.#limits.isMaxExclusive && !restIsPositive(this.#high!.fraction, at));
  }

  #digits(first: number, last: number, rest: (digit: number) => Expression): Expression {
    const table = this.#table;
    const options: Expression[] = [];
    for (let digit = first; digit <= last; digit++) {
      options.push(table.sequence(table.byteRange(ZERO + digit, ZERO + digit), rest(digit)));
    }
    return table.choice(...options);
  }

  #once(key: string, make: () => Expression): Expression {
    let made = this.#known.get(key);
    if (made === undefined) {
      made = make();
      this.#known.set(key, made);
    }
    return made;
  }
}

/** The shortest decimal that reads as a number >= 0, without exponent. */
function decimalDigits(value: number): { whole: string; fraction: string } {
  const [digits, exponentText] = value.toExponential().split('e') as [string, string];
  const [lead, rest = ''] = digits.split('.') as [string, string?];
  const all = lead + rest;
  const exponent = Number(exponentText);
  if (exponent < 0) return { whole: '0', fraction: '0'.repeat(-exponent - 1) + all };
  const padded = all.padEnd(exponent + 1, '0');
  return { whole: padded.slice(0, exponent + 1), fraction: padded.slice(exponent + 1) };
}

function digitAt(fraction: string, at: number): number {
  return Number(fraction[at] ?? 0);
}

function restIsPositive(fraction: string, at: number): boolean {
  return /[1-9]/.test(fraction.slice(at));
}
