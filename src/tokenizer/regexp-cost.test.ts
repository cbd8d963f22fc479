import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PUBLISHED_PATTERNS } from '../../test/fixtures/tokenizer/published-patterns.ts';
import { splittingTokenizer } from '../../test/fixtures/tokenizer/splitting-tokenizer.ts';
import { FormatError } from '../util/errors.ts';
import { readHfTokenizer } from './hf-read.ts';
import { regExpSplitter } from './regexp-splitter.ts';

const TEXT_LENGTH = 100_000;
const UNITS = [...'aAé中ʰ7 \n\t!😀', "'", 'e\u0301', ' \n', "'s", 'a ', 'aA', '. ', 'IMG'];

const ROUNDS = words(
  String.raw`(a+)+b (?:a*)*b (a|a)*b (a|aa)+b (?:a{1,3})+b ([a-z]|\p{L})+b (a?){30}a{30} (a|a){30}b (.*a){20} (?:a++|a)+b (?:a|b|(?:c|a))*d`,
  String.raw`(?:a(?:ba)*b?)*c (?:|a)+b ([0-9]|\d[a-c]?)*! (?:(?:a{40}){40}){40}`,
);
const WAYS = words(
  String.raw`.*.*b a*a*a*b a+(?=a*b) (?:(?=a*b)a)+c .*,.*,.*,x \s*\s*\n`,
  'a?'.repeat(30) + 'a'.repeat(30),
);

function words(...lines: readonly string[]): string[] {
  return lines.flatMap((line) => line.split(' '));
}

const splitterOf = (pattern: string) => regExpSplitter([{ pattern, dropsUnmatched: false, where: 'here' }]);

describe('expressions of published tokenizers', () => {
  for (const [name, pattern] of PUBLISHED_PATTERNS) {
    it(`cuts by those of ${name}`, () => {
      const split = splitterOf(pattern);
      for (const unit of UNITS) {
        const text = unit.repeat(200);
        assert.equal(split(text).join(''), text);
      }
    });
  }
});

describe('hostile expressions', () => {
  const refused = [
    // Different rounds match the same text.
    ...ROUNDS,
    // Too many ways from one place.
    ...WAYS,
    // Nested too deeply, or more characters than are compared.
    '('.repeat(60) + 'a' + ')'.repeat(60),
    '['.repeat(100_000),
    `(?:${Array.from({ length: 40 }, (_, i) => `[${String.fromCharCode(0x4e00 + i)}]`).join('|')})*b`,
  ];
  for (const pattern of refused) {
    it(`refuses ${pattern.slice(0, 40)}`, () => {
      assert.throws(() => splitterOf(pattern), { name: 'FormatError', message: /^here: .* use a tokenizer with/ });
    });
  }

  it('names the file and the place', () => {
    assert.throws(
      () => readHfTokenizer({ tokenizerJson: splittingTokenizer('(a+)+b') }),
      (error: Error) => {
        assert.ok(error instanceof FormatError);
        assert.match(
          error.message,
          /^tokenizer\.json: pre_tokenizer\.pretokenizers\.0\.pattern: .*\(a\+\)\+b is refused/,
        );
        return true;
      },
    );
  });
});

it('cuts long texts by what is accepted in a time far from quadratic', () => {
  const grouped = ['(?:ab)+c?', '(?:a|b)+', String.raw`(?:\p{L}\p{M}*)+ ?`, '(?:-a+)*b?'];
  // Alone, without the expression that takes the digits first, this one is quadratic: it looks ahead to the last digit at each.
  const published = PUBLISHED_PATTERNS.filter(([name]) => !name.startsWith('SuperBPE')).map(([, pattern]) => pattern);
  for (const pattern of [...grouped, ...published]) {
    const split = splitterOf(pattern);
    for (const unit of UNITS) {
      const start = performance.now();
      split(unit.repeat(TEXT_LENGTH / unit.length));
      const milliseconds = performance.now() - start;
      assert.ok(milliseconds < 2000, `${pattern} of ${JSON.stringify(unit)}: ${milliseconds} ms`);
    }
  }
});

it('answers a text too long for the stack of the matcher with an error of its own', () => {
  assert.throws(() => splitterOf('(?:a|b)*')('ab'.repeat(5e6)), { name: 'FormatError', message: /too much memory/ });
});
