import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ConstraintError } from '../util/errors.ts';
import { characterExpression } from './code-points.ts';
import { regexConstraint } from './compile.ts';
import { lets, randomNumbers, randomReply, smallVocabulary } from './constrain-test-support.ts';
import { ExpressionTable } from './expression.ts';
import { accepts, Matcher } from './matcher.ts';
import { nodeExpression, regexExpression, searchTree } from './regex.ts';

const { vocabulary, bytesOf } = smallVocabulary();
const table = new ExpressionTable();
const matcher = new Matcher(table);

const PATTERNS = [
  'abc',
  'a|bc|',
  '(a|ab)(c|bcd)*',
  '[a-c]+d?',
  '[^a]b',
  'a{2,4}b{0,2}',
  'a{3}',
  'a{2,}',
  '(?:ab)*?c',
  '(?<x>a)b',
  '.',
  'a.c',
  '\\d+\\.\\d{2}',
  '\\w+\\s\\W',
  '[\\d-]+',
  '[a\\]b-]*',
  '[é-ü]+',
  '日本?',
  '🦙{2}',
  '[🦙-🦚]x',
  '\\u00e9',
  '\\u{1F999}',
  '\\ud83e\\udd99',
  '\\x41',
  '(a*)*b',
  '((a?){3}b?){2}',
  '(a|b|)+c',
  '\\/\\{',
  '',
  '()',
  '[^]',
  'a{0}b',
  '[\\w.+-]+@[\\w-]+',
];
const CHARACTERS = [
  'a',
  'b',
  'c',
  'd',
  'x',
  '0',
  '7',
  '.',
  '-',
  ' ',
  '\n',
  'é',
  '日',
  '本',
  '🦙',
  '🦚',
  'A',
  '@',
  '/',
  '{',
  ']',
];

describe('regular expressions', () => {
  const text = fc.array(fc.constantFrom(...CHARACTERS), { maxLength: 7 }).map((list) => list.join(''));

  it('match what those of JavaScript match', () => {
    for (const pattern of PATTERNS) {
      const peer = new RegExp(`^(?:${pattern})$`, 'u');
      const search = new RegExp(pattern, 'u');
      const whole = regexExpression(table, pattern);
      const part = nodeExpression(table, searchTree(pattern), (set) => characterExpression(table, set));
      fc.assert(
        fc.property(text, (given) => {
          assert.equal(accepts(matcher, whole, given), peer.test(given), `${pattern} matches ${JSON.stringify(given)}`);
          assert.equal(accepts(matcher, part, given), search.test(given), `${pattern} is in ${JSON.stringify(given)}`);
        }),
        { numRuns: 60, seed: 4, examples: [[''], ['abc'], ['aab'], ['a7.00'], ['🦙🦙'], ['日']] },
      );
    }
  });

  it('match with anchors what those of JavaScript match', () => {
    for (const pattern of ['^ab', 'ab$', '^a|b$', '^(a|b)$', '^(?:a|b$)', '(^a$)|(^b)', '^$', '^a?']) {
      const search = new RegExp(pattern, 'u');
      const part = nodeExpression(table, searchTree(pattern), (set) => characterExpression(table, set));
      for (const given of ['', 'a', 'b', 'ab', 'ba', 'bab', 'aab', 'abb']) {
        assert.equal(accepts(matcher, part, given), search.test(given), `${pattern} in ${given}`);
      }
    }
  });

  it('give replies that match', () => {
    const random = randomNumbers(8);
    for (const pattern of PATTERNS) {
      const constraint = regexConstraint(pattern, vocabulary);
      const peer = new RegExp(`^(?:${pattern})$`, 'u');
      for (let i = 0; i < 8; i++) {
        const bytes = randomReply(constraint, bytesOf, random, 12);
        if (bytes === null) continue;
        const reply = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
        assert.ok(peer.test(reply), `${JSON.stringify(reply)} matches ${pattern}`);
      }
    }
  });

  it('that are wrong or not regular are refused', () => {
    const refused = [
      [
        '(',
        ')',
        'a)',
        '[a',
        '*',
        'a**',
        'a{2}{3}',
        'a{3,2}',
        '[b-a]',
        '\\',
        '(?=a)',
        '(?!a)',
        '(?<=a)b',
        '(a)\\1',
        '\\bx',
        '\\p{L}',
      ],
      ['\\ud800', '\\u{110000}', 'a^b', 'a$b', '^*', 'a{1,999999}', '('.repeat(500), '[]', 'x[]'],
    ].flat();
    for (const pattern of refused) assert.throws(() => regexConstraint(pattern, vocabulary), ConstraintError, pattern);
  });

  it('that are hostile stay within bounds', () => {
    const nested = Array.from({ length: 8 }).reduce<string>((inner) => `(${inner}){100}`, 'a');
    assert.ok(!lets(regexConstraint(nested, vocabulary), 'aaa'));
    assert.ok(lets(regexConstraint('(a*)*b', vocabulary), `${'a'.repeat(200)}b`));
    assert.ok(lets(regexConstraint('.*a.{12}', vocabulary), `${'ab'.repeat(30)}a`));
    assert.throws(() => {
      const wide = `(${'(a?){1000}'.repeat(50)}){1000}`;
      lets(regexConstraint(wide, vocabulary), 'a'.repeat(40));
    }, ConstraintError);
  });
});
