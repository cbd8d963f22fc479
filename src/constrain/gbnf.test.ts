import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConstraintError } from '../util/errors.ts';
import { grammarConstraint } from './compile.ts';
import { lets, randomNumbers, randomReply, smallVocabulary } from './constrain-test-support.ts';

const { vocabulary, bytesOf } = smallVocabulary();

const ARITHMETIC = `
# sums of products
root   ::= (sum "=" space product "\\n")+
sum    ::= product ([-+*/] space product)*
product ::= name | number | "(" space sum ")" space
name   ::= [a-z] [a-z0-9_]* space
number ::= [0-9]+ space
space  ::= [ \\t]*
`;
const LIST = 'root ::= item+\nitem ::= "- " [^\\r\\n\\x0b\\x0c\\x85\\u2028\\u2029]+ "\\n"';
const CHESS = `root ::= "1. " move " " move "\\n" ([1-9] [0-9]? ". " move " " move "\\n")+
move ::= (pawn | nonpawn | castle) [+#]?
pawn ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?
nonpawn ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
castle ::= "O-O" "-O"?`;

const CASES: readonly [string, readonly string[], readonly string[]][] = [
  [ARITHMETIC, ['x = 1\n', '(a + b) * 2 = c\na=b\n', 'x1_y-(3*(2))= 7 \n'], ['x = \n', 'x = 1', '(a = b\n', 'X = 1\n']],
  [LIST, ['- one\n- two é🦙\n'], ['- \n', 'one\n', '- a']],
  [
    CHESS,
    ['1. e4 e5\n2. Nf3 Nc6\n', '1. d4 d5\n2. exd5 O-O-O+\n'],
    ['1. e4 e5\n', '1. e9 e5\n2. a1 a2\n', '2. e4 e5\n'],
  ],
  ['root ::= "a" root "b" | ""', ['', 'ab', 'aaabbb'], ['a', 'aab', 'ba']],
  ['root ::= [^a-c] . | "\\u00e9\\x41\\U0001F999"', ['dx', '日🦙', 'éA🦙'], ['ax', 'd', 'é']],
  ['root ::= ("a" |\n  "b")\n  {2,3}'.replace('\n  {', '{'), ['ab', 'bba'], ['a', 'abab']],
  ['root ::= x{2} y? z*\nx ::= "x"\ny ::= "y"\nz ::= "z"{1,}', ['xx', 'xxyzz'], ['x', 'xxx', 'xxyy']],
  ['root ::= "\\"" [^"\\\\]* "\\""   # a string\n\n\n# end', ['"abc"'], ['"a"b"']],
];

describe('GBNF grammars', () => {
  it('let pass what they describe and nothing else', () => {
    for (const [grammar, good, bad] of CASES) {
      const constraint = grammarConstraint(grammar, vocabulary);
      for (const text of good) assert.ok(lets(constraint, text), `${JSON.stringify(text)} under ${grammar}`);
      for (const text of bad) assert.ok(!lets(constraint, text), `not ${JSON.stringify(text)} under ${grammar}`);
    }
  });

  it('give balanced replies', () => {
    const constraint = grammarConstraint('root ::= "(" root ")" root | ""', vocabulary);
    const random = randomNumbers(3);
    for (let i = 0; i < 30; i++) {
      const reply = Buffer.from(randomReply(constraint, bytesOf, random, 30)!).toString();
      let depth = 0;
      for (const character of reply) {
        depth += character === '(' ? 1 : -1;
        assert.ok(depth >= 0);
      }
      assert.equal(depth, 0, reply);
    }
  });

  it('that are wrong are refused in one sentence', () => {
    const refused: readonly [string, RegExp][] = [
      ['', /no rule named root/],
      ['other ::= "a"', /no rule named root/],
      ['root ::= missing', /missing, which is not defined/],
      ['root ::= root "a" | "b"', /begins with itself/],
      ['root ::= "x"? two\ntwo ::= ("y")* root | "z"', /begins with itself/],
      ['root ::= "a" root', /never comes to an end/],
      ['root ::= "a"\nroot ::= "b"', /defined twice/],
      ['root ::= "a', /ends within a literal/],
      ['root ::= ("a"', /without its \)/],
      ['root ::= "a"{3,2}', /wrong order/],
      ['root ::= [b-a]', /wrong order/],
      ['root = "a"', /not followed by ::=/],
      ['root ::= "\\q"', /escape/],
      ['root ::= <token>', /tokens by name/],
      [`root ::= ${'('.repeat(400)}`, /nested/],
    ];
    for (const [grammar, message] of refused) {
      assert.throws(
        () => grammarConstraint(grammar, vocabulary),
        (error) => error instanceof ConstraintError && message.test(error.message),
        grammar,
      );
    }
  });
});
