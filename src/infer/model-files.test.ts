import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCheckpoint } from '../formats/open-checkpoint.ts';
import { openTokenizer } from '../formats/open-tokenizer.ts';
import { checkpointChatFormat } from './model-files.ts';

test('a chat template that does not parse is refused with the name of the checkpoint', async () => {
  const checkpoint = await openCheckpoint('test/fixtures/formats/toy.gguf');
  const metadata = { ...checkpoint.metadata, 'tokenizer.chat_template': '{% for %}' };
  const tokenizer = await openTokenizer('test/fixtures/tokenizer/vocabulary');
  await assert.rejects(checkpointChatFormat({ ...checkpoint, metadata }, tokenizer), {
    code: 'E_FORMAT',
    message: /toy\.gguf: The chat template does not parse/,
  });
  await checkpoint.close();
});
