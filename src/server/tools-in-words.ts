/**
 * Tools for chat formats that have no words for them, such as Llama 3.0's and templates that never look at `tools`: what Llama 3.1 would be
 * told is told in the system message, calls are the assistant's text, and their answers the user's. Without this the model would be
 * asked to call tools that it has never heard of. Which format needs it is found by trying.
 */
import { describeTools } from '../tokenizer/chat-llama3.ts';
import type { ChatFormat, ChatMessage, ToolCall, ToolDefinition } from '../tokenizer/chat-message.ts';
import { pythonJson } from '../tokenizer/python-text.ts';
import { ConfigError } from '../util/errors.ts';

/** A conversation with tools as a chat format can take it. */
export interface ToldTools {
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly ToolDefinition[];
}

/** The conversation, with in words what the format would leave out. */
export function toolsInWords(
  format: ChatFormat,
  messages: readonly ChatMessage[],
  tools: readonly ToolDefinition[],
): ToldTools {
  const hasCalls = messages.some((message) => message.role === 'tool' || callsOf(message).length > 0);
  const spoken = hasCalls && !knowsOf(format).calls ? spokenCalls(messages) : messages;
  if (tools.length === 0 || knowsOf(format).tools) return { messages: spoken, tools };
  const [first] = spoken;
  const told = describeTools(tools);
  return first?.role === 'system'
    ? { messages: [{ role: 'system', content: told + first.content }, ...spoken.slice(1)], tools: [] }
    : { messages: [{ role: 'system', content: told.trimEnd() }, ...spoken], tools: [] };
}

function spokenCalls(messages: readonly ChatMessage[]): ChatMessage[] {
  const names = new Map<string | undefined, string>();
  return messages.map((message) => {
    const calls = callsOf(message);
    for (const { id, name } of calls) names.set(id, name);
    if (calls.length > 0) {
      const texts = calls.map(({ name, arguments: args }) => pythonJson({ name, parameters: args }));
      return { role: 'assistant', content: [message.content, ...texts].filter((text) => text !== '').join('\n') };
    }
    if (message.role !== 'tool') return message;
    const name = names.get(message.toolCallId);
    return { role: 'user', content: `${name === undefined ? 'The function' : name} answered: ${message.content}` };
  });
}

function callsOf(message: ChatMessage): readonly ToolCall[] {
  return message.role === 'assistant' ? (message.toolCalls ?? []) : [];
}

interface Knowledge {
  readonly tools: boolean;
  readonly calls: boolean;
}

const known = new WeakMap<ChatFormat, Knowledge>();

const NAME = 'a_function_to_try';
const ANSWER = 'what it answered';
const QUESTION: ChatMessage = { role: 'user', content: 'a question' };
const TOOL: ToolDefinition = { type: 'function', function: { name: NAME, parameters: { type: 'object' } } };
const CALL: readonly ChatMessage[] = [
  QUESTION,
  { role: 'assistant', content: '', toolCalls: [{ id: 'call00001', name: NAME, arguments: {} }] },
  { role: 'tool', content: ANSWER, toolCallId: 'call00001' },
];

/** Whether what a format writes tells of tools, and of calls with their answers. */
function knowsOf(format: ChatFormat): Knowledge {
  const found = known.get(format) ?? {
    tools: writes(() => format.render([QUESTION], { tools: [TOOL], toolsInUserMessage: true }), [NAME]),
    calls: writes(() => format.render(CALL), [NAME, ANSWER]),
  };
  known.set(format, found);
  return found;
}

/** A format that refuses the conversation does not tell of them either. */
function writes(render: () => string, texts: readonly string[]): boolean {
  try {
    const rendered = render();
    return texts.every((text) => rendered.includes(text));
  } catch (error) {
    if (error instanceof ConfigError) return false;
    throw error;
  }
}
