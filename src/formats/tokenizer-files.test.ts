import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openTokenizer } from './open-tokenizer.ts';
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

test('opens a file under a name of its own, whatever lies beside it, and a known name as its folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cria-'));
  try {
    const [wanted, other] = ['to be or not to be', 'aa bb'].map((text) => trainBpe([text], { vocabSize: 270 }));
    await saveHfTokenizerFolder(folder, wanted!);
    await rename(join(folder, 'tokenizer.json'), join(folder, 'shakespeare.json'));
    await saveHfTokenizerFolder(folder, other!);
    const ids = async (name: string) => (await openTokenizer(join(folder, name))).encode('not to be');
    assert.deepEqual(await ids('shakespeare.json'), wanted!.encode('not to be'));
    for (const name of ['tokenizer.json', 'special_tokens_map.json', ''])
      assert.deepEqual(await ids(name), other!.encode('not to be'), name);
    assert.notDeepEqual(wanted!.encode('not to be'), other!.encode('not to be'));
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("opens Meta's ranks under any name, as Llama 3.1", async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cria-'));
  try {
    const bytes = Array.from({ length: 256 }, (_, byte) => Buffer.from([byte]));
    // as many ranks as Meta's file has: pairs and triples of bytes
    const ranks = Array.from({ length: 128_000 }, (_, rank) =>
      rank < 256 ? bytes[rank]! : Buffer.from([rank & 255, (rank >> 8) & 255, (rank >> 16) & 255]),
    );
    const path = join(folder, 'llama3-tokenizer.model');
    await writeFile(path, ranks.map((token, rank) => `${token.toString('base64')} ${rank}\n`).join(''));
    const tokenizer = await openTokenizer(path);
    assert.deepEqual([tokenizer.vocabSize, tokenizer.bosId], [128_256, 128_000]);
    assert.equal(tokenizer.specialTokens.get('<|python_tag|>'), 128_010);
    await writeFile(join(folder, 'notes.txt'), 'not a tokenizer');
    await assert.rejects(openTokenizer(join(folder, 'notes.txt')), { code: 'E_FORMAT', message: /notes\.txt: / });
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
