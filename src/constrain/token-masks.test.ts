import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { readTiktoken } from '../tokenizer/tiktoken-file.ts';
import { choiceConstraint, grammarConstraint, jsonSchemaConstraint, regexConstraint } from './compile.ts';
import { derivative, idsOf, randomNumbers, smallVocabulary } from './constrain-test-support.ts';
import type { Expression } from './expression.ts';
import { ConstraintVocabulary } from './vocabulary.ts';

const PERSON = {
  type: 'object',
  properties: {
    name: { type: 'string', minLength: 2, maxLength: 6 },
    tags: { type: 'array', items: { enum: ['a', 'ab', '日本', 'x"y'] }, minItems: 1, maxItems: 3 },
    score: { type: 'number', minimum: -1.5, maximum: 20 },
    child: { $ref: '#' },
  },
  required: ['name'],
};
const NESTED = 'root ::= ("(" root ")" | [a-zé日🦙])*';
const make = (vocabulary: ConstraintVocabulary) => [
  jsonSchemaConstraint(PERSON, vocabulary),
  jsonSchemaConstraint({ type: 'object', additionalProperties: { type: ['integer', 'boolean'] } }, vocabulary),
  jsonSchemaConstraint({ type: 'array' }, vocabulary, { whiteSpace: 'compact' }),
  regexConstraint('(ab|a)*b{2,5}|[^a]{3}(日|.)?', vocabulary),
  grammarConstraint(NESTED, vocabulary),
  choiceConstraint(['yes', 'yesterday', 'no', '日本', '日'], vocabulary),
];

/** Compares the masks along a random reply with what derivatives say of every token. */
function check(
  vocabulary: ConstraintVocabulary,
  bytesOf: (id: number) => Uint8Array,
  seed: number,
  numSteps: number,
): void {
  const random = randomNumbers(seed);
  for (const constraint of make(vocabulary)) {
    const table = vocabulary.expressions;
    const state = constraint.start();
    let rest: Expression = constraint.expression;
    const after = (from: Expression, id: number) =>
      bytesOf(id).reduce((left, byte) => (left.kind === 'never' ? left : derivative(table, left, byte)), from);
    for (let step = 0; step < numSteps; step++) {
      const expected: number[] = [];
      for (let id = 0; id < vocabulary.numIds; id++) {
        if (vocabulary.isText(id) && after(rest, id).kind !== 'never') expected.push(id);
      }
      assert.deepEqual(idsOf(state.allowed()), expected);
      assert.equal(state.canEnd(), rest.isNullable);
      if (expected.length === 0) break;
      const id = expected[Math.floor(random() * expected.length)]!;
      state.advance(id);
      rest = after(rest, id);
    }
  }
}

describe('token masks', () => {
  it('allow exactly the tokens whose bytes may come next', () => {
    for (let seed = 0; seed < 6; seed++) {
      const { vocabulary, bytesOf } = smallVocabulary();
      check(vocabulary, bytesOf, seed, 40);
    }
  });

  it('do so with a trained vocabulary', () => {
    const folder = new URL('../../test/fixtures/tokenizer/vocabulary/', import.meta.url);
    const tokenizer = readTiktoken(
      readFileSync(new URL('tokenizer.model', folder)),
      readFileSync(new URL('special_tokens.json', folder), 'utf8'),
    );
    check(new ConstraintVocabulary(tokenizer), (id) => tokenizer.tokenBytes(id), 5, 12);
  });

  it('leave out special tokens and those that end a reply', () => {
    const { vocabulary, specialId } = smallVocabulary();
    const ids = idsOf(regexConstraint('[^]*', vocabulary).start().allowed());
    assert.ok(!ids.includes(specialId) && !ids.includes(specialId + 1));
  });

  it('are the same after what was worked out is forgotten', () => {
    const { vocabulary } = smallVocabulary();
    const [constraint] = make(vocabulary);
    const state = constraint!.start();
    const path = [...new TextEncoder().encode('{"name": "ab')];
    const masks = path.map((id) => {
      const mask = state.allowed().slice();
      state.advance(id);
      return mask;
    });
    const again = constraint!.start();
    for (const [i, id] of path.entries()) {
      vocabulary.matcher.forget();
      vocabulary.masks.clear();
      assert.deepEqual(again.allowed(), masks[i]);
      again.advance(id);
    }
  });

  it('of a copy do not depend on the original', () => {
    const { vocabulary } = smallVocabulary();
    const state = choiceConstraint(['ab', 'ac'], vocabulary).start();
    state.advance(0x61);
    const copy = state.clone();
    copy.advance(0x62);
    assert.ok(copy.canEnd() && !state.canEnd());
    assert.deepEqual(idsOf(copy.allowed()), []);
    state.advance(0x63);
    assert.ok(state.canEnd());
    assert.throws(() => state.advance(0x61), { code: 'E_CONSTRAINT' });
  });
});
