import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { trainBpe } from '../tokenizer/train-bpe.ts';
import { readDocuments, type TextPiece } from './text-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'cria-text-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, contents: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, contents);
  return path;
}

function read(...paths: string[]): TextPiece[] {
  return [...readDocuments(paths)];
}

/** The documents, their pieces joined. */
function documents(...paths: string[]): string[] {
  const texts: string[] = [];
  for (const { text, begins } of read(...paths)) {
    if (begins) texts.push(text);
    else texts[texts.length - 1] += text;
  }
  return texts;
}

describe('readDocuments', () => {
  it('takes a text file as one document, byte for byte', () => {
    const text = 'Z\u00fcrich \u6771\u4eac\r\n\n  two\n';
    assert.deepEqual(read(file('one.txt', text)), [{ text, numBytes: Buffer.byteLength(text), begins: true }]);
  });

  it('splits a text file at lines that hold only an end-of-text mark', () => {
    const path = file('stories.txt', 'a\nb\n<|endoftext|>\n<|endoftext|>\nc <|endoftext|> d\n<|end_of_text|>\r\ne');
    assert.deepEqual(documents(path), ['a\nb\n', 'c <|endoftext|> d\n', 'e']);
  });

  it('takes each line of a jsonl file as a document', () => {
    const path = file('two.jsonl', '{"text":"a\\nb"}\n\n{"text":" "}\r\n{"id":7,"text":"\u00e9"}');
    assert.deepEqual(documents(path), ['a\nb', '\u00e9']);
  });

  it('puts several files one after the other', () => {
    assert.deepEqual(documents(file('a.txt', 'one'), file('b.jsonl', '{"text":"two"}')), ['one', 'two']);
  });

  it('drops a byte order mark', () => {
    assert.deepEqual(documents(file('bom.txt', '\ufeffone')), ['one']);
  });

  it('cuts a long text where tokenising the pieces gives the tokens of the whole', () => {
    const parts = [
      "the king's",
      ' ',
      '\n',
      '\n\n',
      '  \n',
      ' x',
      '\u3000',
      '\u00a0',
      '1234',
      '!?\n',
      "\n'd",
      '\u6771',
      '\r\n',
    ];
    const tokenizer = trainBpe(["the king's men\n\n said 1234 !?\n the thing"], { vocabSize: 290 });
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...parts), { minLength: 100, maxLength: 400 }), (chosen) => {
        const unit = `a\nb${chosen.join('')}`;
        const text = unit.repeat(Math.ceil(1.5e6 / unit.length));
        const pieces = read(file('long.txt', text)).map((piece) => piece.text);
        assert.equal(pieces.join(''), text);
        assert.ok(pieces.length > 1);
        for (let i = 1; i < pieces.length; i++) {
          const [left, right] = [pieces[i - 1]!.slice(-200), pieces[i]!.slice(0, 200)];
          const apart = [...tokenizer.encode(left), ...tokenizer.encode(right)];
          assert.deepEqual(apart, tokenizer.encode(left + right));
        }
      }),
      { numRuns: 8, seed: 1 },
    );
  });

  it('refuses what is not text with one sentence that says where', () => {
    const png = Buffer.concat([Buffer.from('ok \u00e9\n'), Buffer.from([0x89, 0x50])]);
    const cut = Buffer.concat([Buffer.from('x'.repeat(2 ** 20 + 7)), Buffer.from([0xe6, 0x9d])]);
    for (const [path, message] of [
      [file('image.txt', png), /image\.txt: byte 6 \(0x89\) is not UTF-8 text/],
      [file('cut.txt', cut), /byte 1048583 \(0xe6\)/],
      [file('zero.txt', 'a\0b\xff'), /byte 1 \(0x00\)/],
      [file('utf16.txt', Buffer.from('a\n', 'utf16le')), /byte 1 \(0x00\)/],
      [file('empty.txt', ''), /empty\.txt: holds no text/],
      [file('blank.txt', ' \n\n'), /holds no text/],
      [file('empty.jsonl', '\n'), /holds no text/],
      [file('bad.jsonl', '{"text":"a"}\n{"text":'), /bad\.jsonl: line 2 is not JSON/],
      [file('other.jsonl', '{"texts":"a"}'), /line 1 has no "text"/],
      [file('number.jsonl', '7'), /line 1 has no "text"/],
      [join(folder, 'absent.txt'), /absent\.txt: does not exist/],
      [folder, /is not a regular file/],
    ] as const) {
      assert.throws(() => read(path), { code: 'E_FORMAT', message });
    }
  });
});
