import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormatsModule from 'ajv-formats';
import fc from 'fast-check';
import { ConstraintError } from '../util/errors.ts';
import { jsonConstraint, jsonSchemaConstraint } from './compile.ts';
import { lets, randomNumbers, randomReply, smallVocabulary } from './constrain-test-support.ts';
import { STRING_FORMATS } from './string-formats.ts';

const { vocabulary, bytesOf } = smallVocabulary();
// A CommonJS module whose default export TypeScript sees as the module.
const addFormats = addFormatsModule as unknown as (ajv: Ajv2020) => void;

function validator(schema: unknown): (value: unknown) => boolean {
  const ajv = new Ajv2020({ strict: false, allErrors: false });
  addFormats(ajv);
  return ajv.compile(schema as object);
}

type Schema = Record<string, unknown>;

/** Replies to a schema, each parsed and validated. */
function checkReplies(schema: unknown, seed: number, numReplies: number): void {
  const constraint = jsonSchemaConstraint(schema, vocabulary, { whiteSpace: seed % 2 === 0 ? 'limited' : 'compact' });
  const isValid = validator(schema);
  const random = randomNumbers(seed);
  for (let i = 0; i < numReplies; i++) {
    const bytes = randomReply(constraint, bytesOf, random, Math.floor(random() * 60));
    if (bytes === null) continue;
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    assert.ok(isValid(JSON.parse(text)), `${text} under ${JSON.stringify(schema)}`);
  }
}

const NAMES = ['a', 'ab', 'name', 'value', 'é', 'x y', 'q"q'];
const bound = fc.oneof(fc.integer({ min: -2000, max: 2000 }), fc.constantFrom(0, 1, 7, 99, 100, 1e6));
const decimal = fc.oneof(
  bound,
  fc.integer({ min: -9999, max: 9999 }).map((value) => value / 100),
);
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 });
const withoutUndefined = (schema: Schema): Schema =>
  Object.fromEntries(Object.entries(schema).filter(([, value]) => value !== undefined));

const { schema: anySchema } = fc.letrec<{ schema: Schema }>((tie) => ({
  schema: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<Schema>(
      { type: 'boolean' },
      { type: 'null' },
      { type: 'string' },
      { type: ['integer', 'null'] },
      {},
    ),
    fc
      .record({
        type: fc.constant('integer'),
        minimum: optional(bound),
        maximum: optional(bound),
        multipleOf: optional(fc.constantFrom(1, 2, 7, 10)),
      })
      .map(withoutUndefined),
    fc
      .record({ type: fc.constant('number'), minimum: optional(decimal), exclusiveMaximum: optional(decimal) })
      .map(withoutUndefined),
    fc
      .record({
        type: fc.constant('string'),
        minLength: optional(fc.nat(4)),
        maxLength: optional(fc.integer({ min: 3, max: 9 })),
      })
      .map(withoutUndefined),
    fc
      .constantFrom('^[a-z]+[0-9]{2}$', '^a|b$', 'x.y', '^\\d{3}-\\w+$', '^[^"\\\\]*$', '["\\\\]\\n')
      .map((pattern) => ({ type: 'string', pattern })),
    fc.constantFrom(...Object.keys(STRING_FORMATS)).map((format) => ({ type: 'string', format })),
    fc
      .array(fc.constantFrom<unknown>(1, 'a', 'ab', 'é"', null, true, [1], { a: 1 }), { minLength: 1, maxLength: 4 })
      .map((list) => ({ enum: list })),
    fc
      .record({
        type: fc.constant('array'),
        items: optional(tie('schema')),
        prefixItems: optional(fc.array(tie('schema'), { minLength: 1, maxLength: 2 })),
        minItems: optional(fc.nat(2)),
        maxItems: optional(fc.integer({ min: 2, max: 4 })),
      })
      .map(withoutUndefined),
    fc
      .record({
        type: fc.constant('object'),
        properties: optional(
          fc.dictionary(fc.constantFrom(...NAMES), tie('schema'), { maxKeys: 4, noNullPrototype: true }),
        ),
        required: optional(fc.uniqueArray(fc.constantFrom(...NAMES), { maxLength: 2 })),
        additionalProperties: optional(fc.oneof(fc.boolean(), tie('schema'))),
      })
      .map(withoutUndefined),
    fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
    fc.array(tie('schema'), { minLength: 1, maxLength: 2 }).map((oneOf) => ({ oneOf })),
    fc.array(tie('schema'), { minLength: 1, maxLength: 2 }).map((allOf) => ({ allOf })),
  ),
}));

describe('JSON Schema constraints', () => {
  it('let only valid JSON pass, whatever the schema', () => {
    let numCompiled = 0;
    fc.assert(
      fc.property(anySchema, fc.nat(), (schema, seed) => {
        try {
          checkReplies(schema, seed, 3);
          numCompiled++;
        } catch (error) {
          // Nothing satisfies some schemas, and some combinations are refused: with the place.
          if (!(error instanceof ConstraintError)) throw error;
          assert.equal(typeof error.pointer, 'string', error.message);
        }
      }),
      { numRuns: 120, seed: 20261123 },
    );
    assert.ok(numCompiled > 75, `${numCompiled} schemas were satisfied`);
  });

  it('follow schemas that refer to themselves', () => {
    checkReplies(
      {
        $defs: {
          node: {
            type: 'object',
            properties: { value: { type: 'integer' }, children: { type: 'array', items: { $ref: '#/$defs/node' } } },
            required: ['value'],
            additionalProperties: false,
          },
        },
        $ref: '#/$defs/node',
      },
      1,
      40,
    );
    checkReplies({ type: 'array', items: { anyOf: [{ type: 'number' }, { $ref: '#' }] }, maxItems: 3 }, 2, 40);
  });

  it('give every format strings that a validator accepts', () => {
    for (const format of Object.keys(STRING_FORMATS)) checkReplies({ type: 'string', format }, 3, 40);
    const isDate = jsonSchemaConstraint({ type: 'string', format: 'date' }, vocabulary);
    for (const day of ['2024-02-29', '2000-02-29', '2023-12-31']) assert.ok(lets(isDate, `"${day}"`), day);
    for (const day of ['2023-02-29', '1900-02-29', '2024-04-31', '2024-13-01'])
      assert.ok(!lets(isDate, `"${day}"`), day);
  });

  it('keep to patterns, formats and lengths that hold together', () => {
    const schemas = [
      { type: 'string', pattern: '^[a-z]+$', minLength: 3, maxLength: 6 },
      { type: 'string', pattern: 'é|"', maxLength: 4 },
      { type: 'string', format: 'date', pattern: '^20[0-9]{2}-', maxLength: 10 },
      { allOf: [{ type: 'string', pattern: 'a.*b' }, { pattern: '[0-9]{2}' }], minLength: 5 },
    ];
    for (const schema of schemas) checkReplies(schema, 7, 30);
    const [lower] = schemas.map((schema) => jsonSchemaConstraint(schema, vocabulary));
    for (const text of ['"abc"', '"abcdef"']) assert.ok(lets(lower!, text), text);
    for (const text of ['"ab"', '"abcdefg"', '"aBc"']) assert.ok(!lets(lower!, text), text);
    const none = { type: 'string', pattern: '^a{5}$', maxLength: 4 };
    assert.throws(() => jsonSchemaConstraint(none, vocabulary), ConstraintError);
    const many = { type: 'string', pattern: '^(.*a.{12}|b)$', maxLength: 5000 };
    assert.throws(() => jsonSchemaConstraint(many, vocabulary), { pointer: '/pattern' });
  });

  const accepted: readonly [unknown, readonly string[], readonly string[]][] = [
    [
      { type: 'object', properties: { b: {}, a: {} } },
      ['{}', '{"b": 1, "a":2}', '{"a": {"x": [ ]}}'.replace('[ ]', '[]')],
      ['{"a": 1, "b": 2}', '{"c": 1}', ' {}', '{} '],
    ],
    [
      { type: 'object', properties: { ab: {} }, additionalProperties: true },
      ['{"ab": 1, "abc": 2, "a": 3}', '{"": 0}', '{"\\u0061": 1}'].slice(0, 2),
      ['{"ab": 1, "ab": 2}', '{"\\u0061b": 1}'],
    ],
    [
      { properties: { a: { type: 'null' } }, type: 'object', required: ['z'] },
      ['{"a": null, "z": [1]}', '{"z": 1}'],
      ['{"a": null}', '{}'],
    ],
    [
      { type: 'array', prefixItems: [{ const: 1 }, { const: 2 }], items: false },
      ['[]', '[1]', '[1, 2]', '[\n  1,\n  2\n]'],
      ['[1, 2, 3]', '[2]'],
    ],
    [{ type: 'array', items: [{ const: 1 }], additionalItems: { const: 3 } }, ['[1, 3, 3]'], ['[1, 1]']],
    [
      { type: 'array', items: { type: 'null' }, minItems: 2, maxItems: 3 },
      ['[null,null]', '[null, null, null]'],
      ['[]', '[null]', '[null,null,null,null]'],
    ],
    [{ type: 'integer', minimum: -5, exclusiveMaximum: 12 }, ['-5', '0', '7', '11'], ['-6', '12', '-0', '07', '1.0']],
    [{ type: 'integer', multipleOf: 7, minimum: 10 }, ['14', '70', '1001'], ['7', '15', '-14']],
    [
      { type: 'string', minLength: 2, maxLength: 3 },
      ['"ab"', '"日本🦙"', '"\\n\\u00e9"'],
      ['"a"', '"abcd"', '"\\ud83e\\udd99"'],
    ],
    [{ type: 'integer', format: 'int32' }, ['2147483647', '-2147483648'], ['2147483648']],
    [{ enum: ['a', 1, null] }, ['"a"', '1', 'null'], ['"b"', '10', 'nul']],
    [{ type: ['string', 'null'], enum: ['a', 1, null] }, ['"a"', 'null'], ['1']],
    [{ type: 'string', nullable: true }, ['""', 'null'], ['1']],
    [
      {
        allOf: [
          { type: 'object', properties: { a: { minimum: 3 } }, required: ['a'] },
          { properties: { a: { type: 'integer', maximum: 4 } } },
        ],
      },
      ['{"a": 3}', '{"a": 4}'],
      ['{}', '{"a": 5}', '{"a": "x"}', '{"a": 2}'],
    ],
    [
      {
        oneOf: [
          { type: 'object', properties: { kind: { const: 'x' } }, required: ['kind'] },
          { type: 'object', properties: { kind: { const: 'y' }, n: { type: 'integer' } }, required: ['kind'] },
        ],
      },
      ['{"kind": "x"}', '{"kind": "y", "n": 1}'],
      ['{"kind": "x", "n": 1}', '{}'],
    ],
    [{ type: 'object', minProperties: 1 }, ['{"a": 1}'], ['{}']],
    [{ type: 'object', maxProperties: 1 }, ['{"a": 1}', '{}'], ['{"a": 1, "b": 2}']],
    [true, ['1', '[]', '"x"', '{"a": [null]}'], ['01', '', '[1,]']],
  ];

  it('let pass what is valid and nothing else', () => {
    for (const [schema, good, bad] of accepted) {
      const constraint = jsonSchemaConstraint(schema, vocabulary);
      for (const text of good) assert.ok(lets(constraint, text), `${text} under ${JSON.stringify(schema)}`);
      for (const text of bad) assert.ok(!lets(constraint, text), `not ${text} under ${JSON.stringify(schema)}`);
    }
  });

  const refused: readonly [unknown, string][] = [
    [{ type: 'object', patternProperties: { '^a': {} } }, '/patternProperties'],
    [{ type: 'object', properties: { 'a/b': { not: {} } } }, '/properties/a~1b/not'],
    [{ type: 'array', items: { type: 'array', uniqueItems: true } }, '/items/uniqueItems'],
    [{ type: 'string', pattern: '(?=a)b' }, '/pattern'],
    [{ type: 'string', pattern: '\\bword' }, '/pattern'],
    [{ type: 'string', format: 'unheard-of' }, '/format'],
    [{ type: 'number', multipleOf: 0.01 }, '/multipleOf'],
    [{ type: 'number', format: 'decimal' }, '/format'],
    [{ type: 'integer', minimum: 'x' }, '/minimum'],
    [{ type: 'string', minLength: -1 }, '/minLength'],
    [{ type: 'str' }, '/type'],
    [{ oneOf: [{ type: 'integer' }, { type: 'number' }] }, '/oneOf'],
    [{ anyOf: [{ $ref: '#/$defs/none' }] }, '/anyOf/0/$ref'],
    [{ $ref: 'https://example.org/schema' }, '/$ref'],
    [{ $defs: { a: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' }, '/$defs/a/$ref'],
    [{ type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }, ''],
    [{ type: 'integer', minimum: 3, maximum: 2 }, ''],
    [{ if: {}, else: {} }, '/if'],
    [{ properties: 3, type: 'object' }, '/properties'],
    [[], ''],
    ['string', ''],
  ];

  it('refuse what they cannot keep to, with its pointer', () => {
    for (const [schema, pointer] of refused) {
      const name = JSON.stringify(schema);
      assert.throws(
        () => jsonSchemaConstraint(schema, vocabulary),
        (error) => error instanceof ConstraintError && error.pointer === pointer,
        name,
      );
    }
  });

  it('refuse schemas without bounds in size', () => {
    let deep: unknown = {};
    for (let i = 0; i < 2000; i++) deep = { type: 'array', items: deep };
    const wide = { enum: Array.from({ length: 60_000 }, (_, i) => i) };
    const product = {
      allOf: Array.from({ length: 12 }, () => ({ anyOf: [{ minimum: 1 }, { maximum: 2 }, { minLength: 3 }] })),
    };
    for (const schema of [deep, wide, product])
      assert.throws(() => jsonSchemaConstraint(schema, vocabulary), ConstraintError);
  });

  it('never end in white space without end', () => {
    const constraint = jsonConstraint(vocabulary);
    assert.ok(!lets(constraint, `{${' '.repeat(2)}"a": 1}`));
    assert.ok(lets(constraint, '{\n  "a": {\n    "b": [\n      1\n    ]\n  }\n}'));
    assert.ok(!lets(constraint, '{\n\n"a": 1}'));
  });
});
