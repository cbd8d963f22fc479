import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { findCut, openCorpus, type SplitName } from './corpus.ts';

const folder = mkdtempSync(join(tmpdir(), 'cria-corpus-'));
after(() => rmSync(folder, { recursive: true }));

/** The text of one part of a corpus in one file. */
function part(contents: string, validationFraction: number, split: SplitName): string {
  const path = join(folder, 'corpus.txt');
  writeFileSync(path, contents);
  let text = '';
  for (const piece of openCorpus([path], validationFraction).pieces()) if (piece.split === split) text += piece.text;
  return text;
}

describe('openCorpus', () => {
  it('holds out exactly the last tenth of the bytes of one long text', () => {
    const text = Array.from({ length: 200_000 }, (_, i) => `line ${i}\n`).join(''); // several pieces
    const cut = Math.floor(text.length * 0.9);
    assert.equal(part(text, 0.1, 'train'), text.slice(0, cut));
    assert.equal(part(text, 0.1, 'validation'), text.slice(cut));
  });

  it('does not cut inside a character', () => {
    assert.equal(part('\u6771\u4eac\u90fd', 0.4, 'train'), '\u6771'); // byte 5 is the last of the second character
    assert.equal(part('\u6771\u4eac\u90fd', 0.4, 'validation'), '\u4eac\u90fd');
  });

  it('gives the training part alone, and all of it when nothing is held out', () => {
    const path = join(folder, 'both.jsonl');
    writeFileSync(path, ['aaaa', 'bbbb', 'cc'].map((text) => JSON.stringify({ text })).join('\n'));
    assert.deepEqual([...openCorpus([path], 0.2).trainingTexts()], ['aaaa', 'bbbb']);
    assert.deepEqual([...openCorpus([path], 0).trainingTexts()], ['aaaa', 'bbbb', 'cc']);
  });

  it('refuses no files and an impossible fraction', () => {
    assert.throws(() => openCorpus([], 0.1), /data\.files is empty/);
    for (const fraction of [-0.1, 1, Number.NaN])
      assert.throws(() => openCorpus(['x'], fraction), /validationFraction/);
  });
});

describe('findCut', () => {
  it('cuts between documents where that holds out enough, inside one otherwise', () => {
    assert.deepEqual(findCut([50, 40, 5, 5], 0.1), { document: 2, byte: 0 });
    assert.deepEqual(findCut([50, 42, 4, 4], 0.1), { document: 2, byte: 0 });
    assert.deepEqual(findCut([50, 49, 1], 0.1), { document: 1, byte: 40 });
    assert.deepEqual(findCut([100], 0.1), { document: 0, byte: 90 });
    assert.deepEqual(findCut([10, 90], 0.1), { document: 1, byte: 80 });
  });
});
