import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { randomNumbers } from './constrain-test-support.ts';
import type { Expression } from './expression.ts';
import { ExpressionTable } from './expression.ts';
import { accepts, Matcher, type MatchState } from './matcher.ts';
import { integerRange, numberRange } from './number-range.ts';

const table = new ExpressionTable();
const matcher = new Matcher(table);
const DIGITS = [...new TextEncoder().encode('0123456789.-')];

/** A random number that an expression describes, as text; null if there is none. */
function randomText(expression: Expression, random: () => number): string | null {
  if (expression.kind === 'never') return null;
  let text = '';
  for (let state: MatchState = matcher.start(expression); ;) {
    const nexts = DIGITS.filter((byte) => matcher.step(state, byte) !== null);
    if (nexts.length === 0 || (state.canEnd && random() < 0.3)) return text;
    const byte = nexts[Math.floor(random() * nexts.length)]!;
    text += String.fromCharCode(byte);
    state = matcher.step(state, byte)!;
  }
}

describe('number ranges', () => {
  it('of integers hold exactly the multiples between the limits', () => {
    const limit = fc.integer({ min: -300, max: 300 });
    fc.assert(
      fc.property(limit, limit, fc.constantFrom(1, 3, 10, 17), (min, max, multiple) => {
        const expression = integerRange(table, min, max, multiple);
        for (let value = -330; value <= 330; value++) {
          const isIn = min <= value && value <= max && value % multiple === 0;
          assert.equal(accepts(matcher, expression, String(value)), isIn, `${value} in ${min}..${max} by ${multiple}`);
        }
        for (const text of ['-0', '00', '01', '1.0', '', '-']) assert.ok(!accepts(matcher, expression, text), text);
      }),
      { numRuns: 40, seed: 1 },
    );
  });

  it('of integers without limits have at most 15 digits', () => {
    const expression = integerRange(table, -Infinity, 5);
    assert.ok(accepts(matcher, expression, '-999999999999999') && !accepts(matcher, expression, '-1000000000000000'));
    assert.equal(integerRange(table, 1e15, Infinity).kind, 'never');
  });

  const limitArbitrary = fc.oneof(
    fc.integer({ min: -50, max: 50 }),
    fc.integer({ min: -5000, max: 5000 }).map((value) => value / 100),
    fc.double({ min: -2, max: 2, noNaN: true }),
    fc.constantFrom(-Infinity, Infinity, 1e20, 1e-7, 0.1 + 0.2),
  );

  it('of decimals keep their limits when read as doubles', () => {
    fc.assert(
      fc.property(
        limitArbitrary,
        limitArbitrary,
        fc.boolean(),
        fc.boolean(),
        fc.nat(),
        (a, b, isMinExclusive, isMaxExclusive, seed) => {
          const [min, max] = a <= b ? [a, b] : [b, a];
          const expression = numberRange(table, { min, max, isMinExclusive, isMaxExclusive });
          const random = randomNumbers(seed);
          for (let i = 0; i < 10; i++) {
            const text = randomText(expression, random);
            if (text === null) break;
            const value = JSON.parse(text) as number;
            const isIn = (isMinExclusive ? value > min : value >= min) && (isMaxExclusive ? value < max : value <= max);
            assert.ok(isIn, `${text} between ${min} and ${max}`);
          }
        },
      ),
      { numRuns: 150, seed: 2 },
    );
  });

  it('of decimals leave out nothing with few digits', () => {
    for (const [min, max] of [
      [-1.25, 1.3],
      [0, 0.5],
      [-3, -0.15],
      [0.07, 12],
    ] as const) {
      for (const isExclusive of [false, true]) {
        const limits = { min, max, isMinExclusive: isExclusive, isMaxExclusive: isExclusive };
        const expression = numberRange(table, limits);
        for (let hundredths = -400; hundredths <= 1300; hundredths++) {
          const value = hundredths / 100;
          const isIn = isExclusive ? min < value && value < max : min <= value && value <= max;
          assert.equal(accepts(matcher, expression, String(value)), isIn, `${value} in ${min}..${max}`);
          if (value !== 0) assert.equal(accepts(matcher, expression, value.toFixed(3)), isIn);
        }
      }
    }
  });
});
