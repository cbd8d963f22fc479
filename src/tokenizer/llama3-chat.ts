/**
 * Llama 3's chat format: messages to the tokens of a prompt. What a user writes stays text, special tokens are only put in by the format.
 * Source: meta-llama/llama3 llama/tokenizer.py ChatFormat.
 */
import { END_HEADER, END_OF_TURN, START_HEADER } from './special-tokens.ts';
import type { Tokenizer } from './tokenizer.ts';
import { ConfigError } from '../util/errors.ts';

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** Whether the vocabulary has the tokens of the format; a model may still not have been trained on it. */
export function hasChatTokens(tokenizer: Tokenizer): boolean {
  return [START_HEADER, END_HEADER, END_OF_TURN].every((name) => tokenizer.idOf(name) !== null);
}

/** The prompt that asks for the assistant's next message; throws ConfigError if the vocabulary lacks the format's tokens. */
export function encodeChat(tokenizer: Tokenizer, messages: readonly ChatMessage[]): number[] {
  const ids = tokenizer.bosId === null ? [] : [tokenizer.bosId];
  for (const { role, content } of messages) {
    ids.push(...header(tokenizer, role), ...tokenizer.encode(content.trim()), special(tokenizer, END_OF_TURN));
  }
  return [...ids, ...header(tokenizer, 'assistant')];
}

function header(tokenizer: Tokenizer, role: ChatMessage['role']): number[] {
  return [
    special(tokenizer, START_HEADER),
    ...tokenizer.encode(role),
    special(tokenizer, END_HEADER),
    ...tokenizer.encode('\n\n'),
  ];
}

function special(tokenizer: Tokenizer, name: string): number {
  const id = tokenizer.idOf(name);
  if (id === null) {
    throw new ConfigError(`this model's vocabulary has no ${name}, so it cannot chat; continue a text with it instead`);
  }
  return id;
}
