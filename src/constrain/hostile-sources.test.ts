/**
 * Sources that nobody would write: whatever they are, there is a constraint, or an error that says what is wrong.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ConstraintError } from '../util/errors.ts';
import { choiceConstraint, grammarConstraint, jsonSchemaConstraint, regexConstraint } from './compile.ts';
import { randomNumbers, randomReply, smallVocabulary } from './constrain-test-support.ts';

const { vocabulary, bytesOf } = smallVocabulary();

/** Makes a constraint and follows a reply of it; only errors of the source may come of it. */
function survives(make: () => ReturnType<typeof regexConstraint>, seed: number): void {
  try {
    randomReply(make(), bytesOf, randomNumbers(seed), 10);
  } catch (error) {
    assert.ok(error instanceof ConstraintError, String(error));
    assert.match(error.message, /^[^]+\.$/);
  }
}

const joined = (parts: readonly string[], maxLength: number) =>
  fc.array(fc.constantFrom(...parts), { maxLength }).map((list) => list.join(''));

describe('hostile sources', () => {
  it('of regular expressions', () => {
    const parts = 'a b . * + ? ( ) [ ] { } ^ $ | \\ \\d \\w \\u00 \\u{1f999} 0 9 , - : ?: {2} {0,3} (?< > é 🦙'.split(
      ' ',
    );
    fc.assert(
      fc.property(joined(parts, 14), fc.nat(), (pattern, seed) =>
        survives(() => regexConstraint(pattern, vocabulary), seed),
      ),
      { numRuns: 400, seed: 1 },
    );
  });

  it('of grammars', () => {
    const parts = [
      'root ::= ',
      'a ::= ',
      'root',
      ' a ',
      '"x"',
      '"',
      '[a-z]',
      '[',
      ']',
      '(',
      ')',
      '|',
      '*',
      '?',
      '{2}',
      '{',
      '\n',
      '#',
      '.',
      '\\',
      ' ',
    ];
    fc.assert(
      fc.property(joined(parts, 16), fc.nat(), (rest, seed) =>
        survives(() => grammarConstraint(`root ::= ${rest}`, vocabulary), seed),
      ),
      { numRuns: 400, seed: 2 },
    );
  });

  it('of schemas', () => {
    const keywords = [
      'type',
      'properties',
      'items',
      'required',
      'enum',
      'const',
      'anyOf',
      'allOf',
      'oneOf',
      '$ref',
      'minLength',
      'maximum',
      'pattern',
      'format',
      'minItems',
      'additionalProperties',
      'maxProperties',
      'multipleOf',
    ];
    const value = fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom<unknown>(
        'object',
        'array',
        'string',
        'integer',
        '#',
        '#/items',
        'date',
        '^a',
        true,
        false,
        null,
        0,
        -1,
        3,
        1e300,
        0.5,
      ),
      fc.array(fc.constantFrom<unknown>({}, { type: 'string' }, { $ref: '#' }, 'a', 1), { maxLength: 3 }),
      fc.dictionary(
        fc.constantFrom('a', '__proto__', 'items', 'type'),
        fc.constantFrom<unknown>({}, true, 'string', { $ref: '#' }),
        { maxKeys: 2 },
      ),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...keywords), value, { maxKeys: 4 }), fc.nat(), (schema, seed) =>
        survives(() => jsonSchemaConstraint(schema, vocabulary), seed),
      ),
      { numRuns: 500, seed: 3 },
    );
  });

  it('of choices', () => {
    for (const choices of [
      [],
      [''],
      ['a', 'a'],
      ['\ud800'],
      ['a'.repeat(200_000)],
      Array.from({ length: 3000 }, (_, i) => `c${i}`),
    ]) {
      survives(() => choiceConstraint(choices, vocabulary), 1);
    }
    assert.throws(() => choiceConstraint([], vocabulary), ConstraintError);
  });
});
