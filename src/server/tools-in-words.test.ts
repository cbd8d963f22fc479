import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { llama3ChatFormat } from '../tokenizer/chat-llama3.ts';
import type { ChatFormat, ChatMessage, ToolDefinition } from '../tokenizer/chat-message.ts';
import { templateChatFormat } from '../tokenizer/chat-template.ts';
import { chatPrompt } from './prompt.ts';
import { toolsInWords } from './tools-in-words.ts';
import { toyTokenizer } from './toy-catalog.ts';

const tokenizer = toyTokenizer();
/** As SmolLM2's: looks at roles and contents alone. */
const deaf = templateChatFormat(
  tokenizer,
  `{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}`,
);
const TOOL: ToolDefinition = {
  type: 'function',
  function: { name: 'weather', description: 'Weather of a city', parameters: { type: 'object', properties: {} } },
};
const QUESTION: ChatMessage = { role: 'user', content: 'Rain?' };
const CALLED: readonly ChatMessage[] = [
  QUESTION,
  { role: 'assistant', content: '', toolCalls: [{ id: 'a', name: 'weather', arguments: { city: 'Lima' } }] },
  { role: 'tool', content: 'dry', toolCallId: 'a' },
];

const promptOf = (chatFormat: ChatFormat, messages: readonly ChatMessage[], tools: readonly ToolDefinition[]) =>
  tokenizer.decode(chatPrompt({ tokenizer, chatFormat }, messages, tools));

describe('tools in words', () => {
  it('are told in the system message where the format would leave them out, before what it says itself', () => {
    for (const format of [deaf, llama3ChatFormat(tokenizer, 'llama3')]) {
      const alone = promptOf(format, [QUESTION], [TOOL]);
      assert.match(alone, /system.*You have access to the following functions.*"name": "weather".*user.*Rain\?/s);
      const beside = promptOf(format, [{ role: 'system', content: 'Be brief.' }, QUESTION], [TOOL]);
      assert.match(beside, /"name": "weather".*Be brief\..*user/s);
      assert.equal(beside.match(/Be brief/g)!.length, 1);
    }
  });

  it('have their calls and answers written out', () => {
    for (const format of [deaf, llama3ChatFormat(tokenizer, 'llama3')]) {
      const prompt = promptOf(format, CALLED, []);
      const call = '{"name": "weather", "parameters": {"city": "Lima"}}';
      assert.ok(prompt.includes(call), prompt);
      assert.match(prompt.slice(prompt.indexOf(call)), /user.*weather answered: dry.*assistant/s);
    }
  });

  it('are left to a format that has words of its own', () => {
    const format = llama3ChatFormat(tokenizer, 'llama3.1');
    assert.deepEqual(toolsInWords(format, CALLED, [TOOL]), { messages: CALLED, tools: [TOOL] });
    assert.match(promptOf(format, CALLED, [TOOL]), /ipython/);
  });

  it('change nothing where there are none', () => {
    assert.deepEqual(toolsInWords(deaf, [QUESTION], []), { messages: [QUESTION], tools: [] });
    assert.equal(promptOf(deaf, [QUESTION], []), '[user]Rain?[assistant]');
  });
});
