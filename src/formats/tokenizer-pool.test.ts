/** Tokenizers opened from where they lie, and the same ids on several threads. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { typedTokenizerMetadata } from './convert-tokenizer.ts';
import { writeGguf } from './gguf-write.ts';
import { openTokenizer } from './open-tokenizer.ts';
import { openTokenizerPool } from './tokenizer-pool.ts';
import { FormatError } from '../util/errors.ts';
import { hostileTexts } from '../../test/fixtures/tokenizer/hostile-texts.ts';
import { splittingTokenizer } from '../../test/fixtures/tokenizer/splitting-tokenizer.ts';

const VOCABULARY = 'test/fixtures/tokenizer/vocabulary';
const folder = mkdtempSync(join(tmpdir(), 'cria-pool-'));
after(() => rmSync(folder, { recursive: true }));

describe('opening a tokenizer', () => {
  it('finds it in a folder, beside a file, in a GGUF file and in a folder that holds one', async () => {
    const original = await openTokenizer(VOCABULARY);
    const path = join(folder, 'vocabulary.gguf');
    await writeGguf(path, typedTokenizerMetadata(original, null), []);
    for (const place of [`${VOCABULARY}/tokenizer.model`, path, folder]) {
      const tokenizer = await openTokenizer(place);
      for (const text of hostileTexts(50, 3)) assert.deepEqual(tokenizer.encode(text), original.encode(text), place);
    }
  });

  it('names the file that holds none', async () => {
    const empty = join(folder, 'empty.gguf');
    await writeGguf(empty, new Map(), []);
    await assert.rejects(openTokenizer(empty), { code: 'E_FORMAT', message: new RegExp(`^${empty}: .*tokenizer`) });
    writeFileSync(join(folder, 'notes.txt'), '');
    await assert.rejects(openTokenizer(join(folder, 'absent')), {
      code: 'E_FORMAT',
      message: /absent: does not exist/,
    });
  });
});

describe('a tokenizer on several threads', () => {
  it('gives the ids of one thread, in the order of the texts', async () => {
    const texts = [...hostileTexts(400, 5), 'x'.repeat(2 ** 19), '', ...hostileTexts(4000, 6), 'a b '.repeat(2 ** 17)];
    const pool = await openTokenizerPool(VOCABULARY, 2);
    for (const options of [{}, { bos: true, eos: true, allowSpecial: true }]) {
      const [first, second] = await Promise.all([pool.encode(texts, options), pool.encode(texts.slice(7), options)]);
      for (const [i, text] of texts.entries()) {
        const expected = pool.tokenizer.encodeToUint32(text, options);
        assert.deepEqual(first[i], expected);
        if (i >= 7) assert.deepEqual(second[i - 7], expected);
      }
    }
    await pool.close();
  });

  it('refuses what one thread refuses, with its class and words, and goes on', async () => {
    const place = mkdtempSync(join(folder, 'slow-'));
    writeFileSync(join(place, 'tokenizer.json'), splittingTokenizer('a*b'));
    const pool = await openTokenizerPool(place, 2);
    const texts = Array.from({ length: 8 }, () => 'ab'.repeat(2 ** 16));
    await assert.rejects(pool.encode([...texts, 'a'.repeat(200_000)]), (error) => {
      assert.ok(error instanceof FormatError);
      assert.match(error.message, /take too long or too much memory for a text of 200000 characters/);
      return true;
    });
    assert.deepEqual((await pool.encode(texts))[7], pool.tokenizer.encodeToUint32(texts[7]!));
    await pool.close();
  });

  it('lets nobody wait for threads that were closed', async () => {
    const pool = await openTokenizerPool(VOCABULARY, 2);
    const answer = assert.rejects(pool.encode(['x'.repeat(2 ** 20)]), { name: 'AbortError' });
    await pool.close();
    await answer;
  });

  it('takes no texts, and says where there is no tokenizer', async () => {
    const path = join(folder, 'vocabulary.gguf');
    const pool = await openTokenizerPool(path, 2);
    assert.deepEqual(await pool.encode([]), []);
    await pool.close();
    await assert.rejects(openTokenizerPool(join(folder, 'absent')), { code: 'E_FORMAT' });
  });
});
