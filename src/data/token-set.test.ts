import { strict as assert } from 'node:assert';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { trainBpe } from '../tokenizer/train-bpe.ts';
import { TokenFile, tokenTypeFor, writeTokenFile } from './token-file.ts';
import { openSplit, prepareTokens, type TokenManifest } from './token-set.ts';

const folder = mkdtempSync(join(tmpdir(), 'cria-tokens-'));
after(() => rmSync(folder, { recursive: true }));

const tokenizer = trainBpe(['the theory of the thing'], { vocabSize: 270 });
const { bosId, eosId } = tokenizer;

function jsonl(name: string, ...texts: string[]): string {
  const path = join(folder, name);
  writeFileSync(path, texts.map((text) => JSON.stringify({ text })).join('\n'));
  return path;
}

async function prepare(path: string, name: string, validationFraction = 0.1): Promise<TokenManifest> {
  return prepareTokens({ paths: [path], validationFraction, tokenizer, folder: join(folder, name) });
}

function ids(name: string, manifest: TokenManifest, split: 'train' | 'validation'): number[] {
  const file = openSplit(join(folder, name), manifest, split);
  const target = new Int32Array(file.length);
  file.read(0, file.length, target);
  file.close();
  return [...target];
}

function encode(text: string): (number | null)[] {
  return [bosId, ...tokenizer.encode(text), eosId];
}

function writtenAt(name: string): bigint {
  return statSync(join(folder, name, 'train.bin'), { bigint: true }).mtimeNs;
}

describe('prepareTokens', () => {
  it('marks the documents of both parts and counts what they hold', async () => {
    const manifest = await prepare(jsonl('a.jsonl', 'the thing', 'of', 'th\u00e9'), 'a', 0.25);
    assert.deepEqual(ids('a', manifest, 'train'), [...encode('the thing'), ...encode('of')]);
    assert.deepEqual(ids('a', manifest, 'validation'), encode('th\u00e9'));
    const { train, validation } = manifest.splits;
    assert.deepEqual([train.numBytes, train.numDocuments, train.shortestDocument], [11, 2, encode('of').length]);
    assert.deepEqual([validation.numBytes, validation.numTokens], [4, encode('th\u00e9').length]);
  });

  it('gives a document that is cut in two a start in both parts and an end in the second', async () => {
    const manifest = await prepare(jsonl('cut.jsonl', 'abcdefghij'), 'cut', 0.5);
    assert.deepEqual(ids('cut', manifest, 'train'), [bosId, ...tokenizer.encode('abcde')]);
    assert.deepEqual(ids('cut', manifest, 'validation'), [bosId, ...tokenizer.encode('fghij'), eosId]);
  });

  it('does nothing when nothing changed, and starts over when something did', async () => {
    const path = jsonl('b.jsonl', 'the theory of the thing');
    await prepare(path, 'b');
    const first = writtenAt('b');
    await prepare(path, 'b');
    assert.equal(writtenAt('b'), first);
    await prepare(path, 'b', 0.2);
    const second = writtenAt('b');
    assert.notEqual(second, first);
    jsonl('b.jsonl', 'the theory of the think');
    await prepare(path, 'b', 0.2);
    assert.notEqual(writtenAt('b'), second);
  });

  it('starts over after a crash between the files', async () => {
    const path = jsonl('c.jsonl', 'the theory');
    const manifest = await prepare(path, 'c');
    writeFileSync(join(folder, 'c', 'tokens.json'), readFileSync(join(folder, 'c', 'tokens.json')).subarray(0, 50));
    assert.deepEqual(await prepare(path, 'c'), manifest);
  });

  it('leaves the text of the tokenizer alone: marks in a text stay text', async () => {
    const manifest = await prepare(jsonl('d.jsonl', 'x<|begin_of_text|>y', 'z'), 'd');
    assert.equal(ids('d', manifest, 'train').filter((id) => id === bosId).length, 1);
  });
});

describe('TokenFile', () => {
  it('keeps every id of small and large vocabularies', async () => {
    for (const [vocabSize, type] of [
      [2 ** 16, 'uint16'],
      [2 ** 16 + 1, 'uint32'],
    ] as const) {
      assert.equal(tokenTypeFor(vocabSize), type);
      const path = join(folder, type);
      await writeTokenFile(path, type, (sink) => sink([0, 1, vocabSize - 1]));
      const file = new TokenFile(path, type, 3);
      const target = new Int32Array(4);
      file.read(1, 2, target, 2);
      assert.deepEqual([...target], [0, 0, 1, vocabSize - 1]);
      file.close();
    }
  });

  it('refuses a file that is cut off or gone', async () => {
    const path = join(folder, 'short');
    await writeTokenFile(path, 'uint16', (sink) => sink([1, 2, 3]));
    truncateSync(path, 5);
    assert.throws(() => new TokenFile(path, 'uint16', 3), /has 5 bytes, 3 tokens take 6/);
    assert.throws(() => new TokenFile(`${path}.not`, 'uint16', 3), /cannot be opened \(ENOENT\)/);
  });
});
