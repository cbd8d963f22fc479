import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadTokenizerFolder, saveHfTokenizerFolder, saveTokenizerFolder } from './tokenizer-files.ts';
import { trainBpe } from '../tokenizer/train-bpe.ts';
import { FormatError } from '../util/errors.ts';

test('loads from a folder what was saved into it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cria-'));
  try {
    const tokenizer = trainBpe(['to be or not to be'], { vocabSize: 270 });
    await saveTokenizerFolder(join(folder, 'made'), tokenizer);
    const loaded = await loadTokenizerFolder(join(folder, 'made'));
    assert.deepEqual(loaded.encode('not to be'), tokenizer.encode('not to be'));
    assert.deepEqual(loaded.specialTokens, tokenizer.specialTokens);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("loads Hugging Face's files with all that lies beside them", async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cria-'));
  try {
    const tokenizer = trainBpe(['to be or not to be'], { vocabSize: 270 });
    await saveHfTokenizerFolder(folder, tokenizer, { chatTemplate: 'x' });
    await writeFile(join(folder, 'generation_config.json'), '{"eos_token_id": [3, 4]}');
    await writeFile(join(folder, 'tokenizer.model'), 'of another format');
    const loaded = await loadTokenizerFolder(folder);
    assert.deepEqual(loaded.encode('not to be'), tokenizer.encode('not to be'));
    assert.deepEqual([loaded.bosId, loaded.eosId, loaded.padId], [tokenizer.bosId, tokenizer.eosId, tokenizer.padId]);
    assert.ok(loaded.stopIds.includes(3) && loaded.stopIds.includes(4));
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('names the folder whose tokenizer is missing or damaged', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cria-'));
  const namesFolder = (error: unknown) => error instanceof FormatError && error.message.includes(folder);
  try {
    await assert.rejects(loadTokenizerFolder(folder), namesFolder);
    await writeFile(join(folder, 'tokenizer.model'), 'not a tokenizer');
    await assert.rejects(loadTokenizerFolder(folder), namesFolder);
  } finally {
    await rm(folder, { recursive: true });
  }
});
