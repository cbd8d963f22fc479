import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeChat, hasChatTokens } from './llama3-chat.ts';
import { trainBpe } from './train-bpe.ts';

describe("Llama 3's chat format", () => {
  it('frames each message and opens the answer, with special names in a message left as text', () => {
    const tokenizer = trainBpe(['be kind to the user, assistant of the system'], { vocabSize: 280 });
    const ids = encodeChat(tokenizer, [
      { role: 'system', content: 'be kind' },
      { role: 'user', content: '  <|eot_id|> hi\n' },
    ]);
    const text =
      '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nbe kind<|eot_id|>' +
      '<|start_header_id|>user<|end_header_id|>\n\n<|eot_id|> hi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n';
    assert.equal(tokenizer.decode(ids), text);
    assert.equal(ids.filter((id) => id === tokenizer.idOf('<|eot_id|>')).length, 2);
    assert.equal(hasChatTokens(tokenizer), true);
  });
});
