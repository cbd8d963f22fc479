import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codePointClasses, LETTER, NEWLINE, NUMBER, OTHER, SPACE } from './code-point-classes.ts';

const classOf = (char: string) => codePointClasses()[char.codePointAt(0)!];

test('knows the characters on which engines disagree', () => {
  const expected: [string, number][] = [
    ['\u0085', SPACE], // next line: not in JavaScript's \s
    ['\ufeff', OTHER], // byte order mark: in JavaScript's \s, not in White_Space
    ['\u180e', OTHER],
    ['\u200b', OTHER],
    ['\u001c', OTHER],
    ['\u3000', SPACE],
    ['\n', NEWLINE],
    ['\r', NEWLINE],
    ['\v', SPACE],
    ['\u0660', NUMBER],
    ['½', NUMBER],
    ['Ⅻ', NUMBER],
    ['ª', LETTER],
    ['々', LETTER],
    ['\u0301', OTHER], // a mark
    ['\u{323af}', LETTER],
    ['\u{10ffff}', OTHER],
  ];
  for (const [char, kind] of expected) assert.equal(classOf(char), kind, char.codePointAt(0)!.toString(16));
});

test('agrees with this engine on every letter and number that both know', () => {
  // The engine may know a later Unicode: what it calls a letter may be unassigned in the tables, never the reverse.
  const classes = codePointClasses();
  for (let c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 7) {
    const char = String.fromCodePoint(c);
    if (classes[c] === LETTER) assert.match(char, /\p{L}/u);
    else if (classes[c] === NUMBER) assert.match(char, /\p{N}/u);
  }
});
