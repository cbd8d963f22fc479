/**
 * OpenAI's messages and tools as the chat formats take them. A turn with several tool calls becomes one message a call, each followed by its
 * answer, as Llama 3 writes one call a message.
 */
import type { ChatMessage, ToolCall, ToolDefinition } from '../tokenizer/chat-message.ts';
import { invalidField } from './api-error.ts';
import type { OpenaiMessage, OpenaiTool } from './openai-chat-schema.ts';

/** The conversation; throws a 400 where tool calls and answers do not fit together. */
export function chatMessages(messages: readonly OpenaiMessage[]): ChatMessage[] {
  const result: ChatMessage[] = [];
  for (let i = 0; i < messages.length; i++) {
    const message = messages[i]!;
    if (message.role === 'assistant' && message.tool_calls?.length) {
      const calls = message.tool_calls.map((call, j) => toolCallOf(call, `messages[${i}].tool_calls[${j}]`));
      const answers = answersAfter(messages, i);
      result.push(...callTurns(textOf(message.content), calls, answers));
      i += answers.size;
    } else if (message.role === 'tool') {
      result.push({ role: 'tool', content: textOf(message.content), toolCallId: message.tool_call_id });
    } else {
      const role = message.role === 'developer' ? 'system' : message.role;
      result.push({ role, content: textOf(message.content) });
    }
  }
  return result;
}

type ToolAnswers = ReadonlyMap<string, string>;

/** What the tools answered, by call id: the messages right after the calls. */
function answersAfter(messages: readonly OpenaiMessage[], callsAt: number): ToolAnswers {
  const answers = new Map<string, string>();
  for (let i = callsAt + 1; i < messages.length; i++) {
    const message = messages[i]!;
    if (message.role !== 'tool') break;
    if (answers.has(message.tool_call_id)) {
      throw invalidField(
        `messages[${i}].tool_call_id`,
        `messages[${i}]: the call "${message.tool_call_id}" is answered twice`,
      );
    }
    answers.set(message.tool_call_id, textOf(message.content));
  }
  return answers;
}

function callTurns(text: string, calls: readonly ToolCall[], answers: ToolAnswers): ChatMessage[] {
  const unknown = [...answers.keys()].find((id) => !calls.some((call) => call.id === id));
  if (unknown !== undefined) {
    throw invalidField(
      'messages',
      `a tool message answers the call "${unknown}", which the message before it does not make`,
    );
  }
  return calls.flatMap((call, i): ChatMessage[] => {
    const turn: ChatMessage = { role: 'assistant', content: i === 0 ? text : '', toolCalls: [call] };
    const answer = answers.get(call.id!);
    return answer === undefined ? [turn] : [turn, { role: 'tool', content: answer, toolCallId: call.id! }];
  });
}

function toolCallOf(
  { id, function: { name, arguments: json } }: { id: string; function: { name: string; arguments: string } },
  where: string,
): ToolCall {
  let value: unknown;
  try {
    value = json.trim() === '' ? {} : JSON.parse(json);
  } catch {
    throw invalidField(`${where}.function.arguments`, `${where}.function.arguments: is not valid JSON`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidField(`${where}.function.arguments`, `${where}.function.arguments: must be a JSON object`);
  }
  return { id, name, arguments: value as Record<string, unknown> };
}

/** Tools as the templates describe them. */
export function toolDefinitions(tools: readonly OpenaiTool[]): ToolDefinition[] {
  return tools.map(({ function: { name, description, parameters } }) => ({
    type: 'function',
    function: {
      name,
      ...(description === undefined ? {} : { description }),
      parameters: parameters ?? { type: 'object', properties: {} },
    },
  }));
}

type Content = string | readonly ({ readonly text: string } | { readonly refusal: string })[] | undefined;

function textOf(content: Content): string {
  if (content === undefined) return '';
  if (typeof content === 'string') return content;
  return content.map((part) => ('text' in part ? part.text : part.refusal)).join('');
}
