/**
 * The chat formats of Llama 3, 3.1 and 3.2, written from their published prompt formats and checked against Transformers.
 * Sources: meta-llama/llama3 llama/tokenizer.py ChatFormat; meta-llama/llama-models models/llama3_1/prompt_format.md and
 * models/llama3_2/text_prompt_format.md; the chat templates of the Hugging Face checkpoints.
 */
import {
  DEFAULT_DATE,
  type ChatFormat,
  type ChatMessage,
  type ChatOptions,
  type ToolCall,
  type ToolDefinition,
} from './chat-message.ts';
import { ChatWriter } from './chat-writer.ts';
import { pythonJson, pythonStrip } from './python-text.ts';
import { BEGIN_OF_TEXT, END_HEADER, END_OF_MESSAGE, END_OF_TURN, PYTHON_TAG, START_HEADER } from './special-tokens.ts';
import type { Tokenizer } from './tokenizer.ts';
import { ConfigError } from '../util/errors.ts';

export type Llama3ChatFormatName = 'llama3' | 'llama3.1' | 'llama3.2';

/** Chat format of a Llama 3 generation for a tokenizer that has its special tokens. */
export function llama3ChatFormat(tokenizer: Tokenizer, name: Llama3ChatFormatName): ChatFormat {
  const write = (messages: readonly ChatMessage[], options: ChatOptions) => {
    if (messages.length === 0) throw new ConfigError('The conversation is empty; give it at least one message.');
    const writer = new ChatWriter(tokenizer, name);
    writer.special(BEGIN_OF_TEXT);
    if (name === 'llama3') writeLlama3(writer, messages);
    else writeLlama31(writer, messages, options, name);
    if (options.addGenerationPrompt ?? false) writeHeader(writer, 'assistant');
    return writer;
  };
  return {
    name,
    encode: (messages, options = {}) => write(messages, options).encoded.ids,
    encodeWithSpans: (messages, options = {}) => write(messages, options).encoded,
    render: (messages, options = {}) => write(messages, options).rendered,
  };
}

function writeHeader(writer: ChatWriter, role: string): void {
  writer.special(START_HEADER);
  writer.text(role);
  writer.special(END_HEADER);
  writer.text('\n\n');
}

function writeTurn(writer: ChatWriter, messageIndex: number, message: ChatMessage, text: string): void {
  writer.message(messageIndex, message.role, () => {
    writer.text(text);
    writer.special(END_OF_TURN);
  });
}

function writeLlama3(writer: ChatWriter, messages: readonly ChatMessage[]): void {
  for (const [i, message] of messages.entries()) {
    if (message.role === 'assistant' && message.toolCalls?.length) {
      throw new ConfigError('The llama3 chat format has no tool calls; use llama3.1 or llama3.2.');
    }
    writeHeader(writer, message.role);
    writeTurn(writer, i, message, pythonStrip(message.content));
  }
}

function writeLlama31(
  writer: ChatWriter,
  messages: readonly ChatMessage[],
  options: ChatOptions,
  name: 'llama3.1' | 'llama3.2',
): void {
  const { tools, toolsInUserMessage = true } = options;
  // Only Llama 3.1 was trained to call tools it knows by name.
  const builtinTools = name === 'llama3.1' ? options.builtinTools : undefined;
  const system = messages[0]?.role === 'system' ? messages[0] : null;
  let next = system === null ? 0 : 1;
  writeHeader(writer, 'system');
  const systemText =
    preamble(options, builtinTools) +
    (tools !== undefined && !toolsInUserMessage ? IN_SYSTEM + toolTexts(tools) : '') +
    pythonStrip(system?.content ?? '');
  if (system !== null) {
    writeTurn(writer, 0, system, systemText);
  } else {
    writer.text(systemText);
    writer.special(END_OF_TURN);
  }
  if (tools !== undefined && toolsInUserMessage) {
    const first = messages[next];
    if (first?.role !== 'user') {
      throw new ConfigError(
        'Tools are described in the first user message, and there is none; add one or set toolsInUserMessage to false.',
      );
    }
    writeHeader(writer, 'user');
    writeTurn(writer, next, first, IN_USER + toolTexts(tools) + pythonStrip(first.content));
    next++;
  }
  for (let i = next; i < messages.length; i++) writeLlama31Turn(writer, i, messages[i]!, builtinTools);
}

function preamble(
  { tools, dateString = DEFAULT_DATE }: ChatOptions,
  builtinTools: readonly string[] | undefined,
): string {
  let text = tools !== undefined || builtinTools !== undefined ? 'Environment: ipython\n' : '';
  if (builtinTools !== undefined) {
    text += `Tools: ${builtinTools.filter((tool) => tool !== 'code_interpreter').join(', ')}\n\n`;
  }
  return `${text}Cutting Knowledge Date: December 2023\nToday Date: ${dateString}\n\n`;
}

const CALL_FORMAT =
  'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.' +
  'Do not use variables.\n\n';
const IN_SYSTEM =
  'You have access to the following functions. To call a function, please respond with JSON for a function call.' +
  CALL_FORMAT;
const IN_USER =
  'Given the following functions, please respond with a JSON for a function call ' +
  `with its proper arguments that best answers the given prompt.\n\n${CALL_FORMAT}`;
const TOOL_INDENT = 4;

/** What Llama 3.1's system message says of tools, for formats that have no words for them. */
export function describeTools(tools: readonly ToolDefinition[]): string {
  return IN_SYSTEM + toolTexts(tools);
}

function toolTexts(tools: readonly ToolDefinition[]): string {
  return tools.map((tool) => `${pythonJson(tool, TOOL_INDENT)}\n\n`).join('');
}

function writeLlama31Turn(
  writer: ChatWriter,
  messageIndex: number,
  message: ChatMessage,
  builtinTools: readonly string[] | undefined,
): void {
  const { role, content } = message;
  if (role === 'tool') {
    writeHeader(writer, 'ipython');
    // The published templates write a text answer as JSON too: in Jinja a string is iterable.
    writeTurn(writer, messageIndex, message, pythonJson(content));
  } else if (role === 'assistant' && message.toolCalls !== undefined) {
    writeHeader(writer, 'assistant');
    const call = onlyCall(message.toolCalls);
    writer.message(messageIndex, role, () => {
      writeCall(writer, call, builtinTools);
      // In ipython mode the turn is not over: the tool answers next.
      writer.special(builtinTools === undefined ? END_OF_TURN : END_OF_MESSAGE);
    });
  } else {
    writeHeader(writer, role);
    writeTurn(writer, messageIndex, message, pythonStrip(content));
  }
}

function onlyCall(calls: readonly ToolCall[]): ToolCall {
  const [call] = calls;
  if (call === undefined || calls.length > 1) {
    throw new ConfigError(
      `A Llama 3 message holds exactly one tool call, this one holds ${calls.length}; put each call into a message of its own.`,
    );
  }
  return call;
}

function writeCall(writer: ChatWriter, call: ToolCall, builtinTools: readonly string[] | undefined): void {
  if (builtinTools?.includes(call.name) !== true) {
    writer.text(`{"name": "${call.name}", "parameters": ${pythonJson(call.arguments)}}`);
    return;
  }
  const args = Object.entries(call.arguments).map(([name, value]) => {
    if (typeof value !== 'string') {
      throw new ConfigError(`Argument ${name} of the built-in tool ${call.name} must be text; write it as a string.`);
    }
    return `${name}="${value}"`;
  });
  writer.special(PYTHON_TAG);
  writer.text(`${call.name}.call(${args.join(', ')})`);
}
