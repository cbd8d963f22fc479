/**
 * Prompts from texts and conversations.
 */
import type { ChatMessage, ChatOptions, ToolDefinition } from '../tokenizer/chat-message.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { ApiError, invalidField } from './api-error.ts';
import type { ServedModel } from './served-model.ts';
import { toolsInWords } from './tools-in-words.ts';

type PromptModel = Pick<ServedModel, 'tokenizer' | 'chatFormat'>;

/** Tokens of a conversation, by default ready for the model's answer. A model without a chat format continues the messages' text. */
export function chatPrompt(
  { tokenizer, chatFormat }: PromptModel,
  messages: readonly ChatMessage[],
  tools: readonly ToolDefinition[],
  { addGenerationPrompt = true }: { readonly addGenerationPrompt?: boolean } = {},
): number[] {
  if (chatFormat === null) return continuationPrompt(tokenizer, messages, tools);
  const told = toolsInWords(chatFormat, messages, tools);
  const firstTurn = told.messages.find(({ role }) => role !== 'system');
  const options: ChatOptions = {
    addGenerationPrompt,
    // Llama 3.1's format has tools described in the first user message; without one there, in the system message.
    ...(told.tools.length === 0 ? {} : { tools: told.tools, toolsInUserMessage: firstTurn?.role === 'user' }),
  };
  return chatFormat.encode(told.messages, options);
}

function continuationPrompt(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  tools: readonly unknown[],
): number[] {
  if (tools.length > 0)
    throw invalidField('tools', 'tools: this model has no chat format, so it cannot be told of tools');
  return textPrompt(tokenizer, messages.map(({ content }) => content).join('\n'));
}

/** Tokens of a text as the model was trained to see it begin. */
export function textPrompt(tokenizer: Tokenizer, text: string, param = 'prompt'): number[] {
  const ids = tokenizer.encode(text, { bos: tokenizer.roles.addsBos });
  if (ids.length > 0) return ids;
  if (tokenizer.bosId !== null) return [tokenizer.bosId];
  throw new ApiError(400, `${param}: is empty; give at least one character`, { param });
}
