/**
 * Reads the tool call in what a Llama 3.1 or 3.2 model wrote. The inverse of the calls that chat-llama3.ts writes, and of the
 * <function=name>{...}</function> form. Source: meta-llama/llama-models models/llama3_1/prompt_format.md.
 */
import type { ToolCall } from './chat-message.ts';
import { END_OF_MESSAGE, END_OF_TURN, PYTHON_TAG } from './special-tokens.ts';

/** The tool that runs the code a model writes after <|python_tag|>. */
export const CODE_TOOL = 'code_interpreter';

/** The call in an assistant's message, whose special tokens may be written out or left away; null if it is plain text. */
export function parseToolCall(text: string): ToolCall | null {
  const written = text.trim().replace(END, '').trim();
  const hasTag = written.startsWith(PYTHON_TAG);
  const body = hasTag ? written.slice(PYTHON_TAG.length).trim() : written;
  const call = jsonCall(body) ?? functionCall(body) ?? namedCall(body);
  if (call !== null) return call;
  return hasTag ? { name: CODE_TOOL, arguments: { code: body } } : null;
}

const END = new RegExp(`(?:${[END_OF_TURN, END_OF_MESSAGE].map((name) => name.replaceAll('|', '\\|')).join('|')})$`);

// {"name": "...", "parameters": {...}}; some models write "arguments".
function jsonCall(body: string): ToolCall | null {
  const value = parseObject(body);
  if (value === null || typeof value['name'] !== 'string') return null;
  const args = value['parameters'] ?? value['arguments'] ?? {};
  return isObject(args) ? { name: value['name'], arguments: args } : null;
}

// <function=name>{...}</function>
function functionCall(body: string): ToolCall | null {
  const match = /^<function=([^>]+)>([^]*)<\/function>$/.exec(body);
  const args = match === null ? null : parseObject(match[2]!);
  return args === null ? null : { name: match![1]!, arguments: args };
}

// name.call(key="value", ...)
function namedCall(body: string): ToolCall | null {
  const match = /^(\w+)\.call\(([^]*)\)$/.exec(body);
  if (match === null) return null;
  const args: Record<string, unknown> = {};
  const argument = /\s*(\w+)="((?:[^"\\]|\\.)*)"\s*(?:,|$)/y;
  const list = match[2]!;
  while (argument.lastIndex < list.length) {
    const found = argument.exec(list);
    if (found === null) return null;
    args[found[1]!] = found[2]!;
  }
  return { name: match[1]!, arguments: args };
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
