/**
 * What /tokenize answers, in the shapes of llama.cpp (`content`) and vLLM (`prompt`, `messages`).
 * Sources: llama.cpp tools/server/README.md; vLLM's OpenAI-compatible server, tokenizer API.
 */
import { z } from 'zod';
import { messageSchema, toolSchema } from './openai-chat-schema.ts';
import { chatMessages, toolDefinitions } from './openai-messages.ts';
import { chatPrompt } from './prompt.ts';
import { optional } from './request-fields.ts';
import type { TextModel } from './text-task.ts';
import { tokenPiece } from './token-piece.ts';

const flag = optional(z.boolean());
const model = optional(z.string());

export const tokenizeSchema = z.union([
  z.strictObject({ model, content: z.string(), add_special: flag, parse_special: flag, with_pieces: flag }),
  z.strictObject({ model, prompt: z.string(), add_special_tokens: flag, return_token_strs: flag }),
  z.strictObject({
    model,
    messages: z.array(messageSchema).min(1),
    tools: optional(z.array(toolSchema)),
    add_generation_prompt: flag,
    return_token_strs: flag,
  }),
]);
export type TokenizeRequest = z.output<typeof tokenizeSchema>;

const count = z.number().int().min(0);
const tokenId = count;
const tokenIds = z.array(tokenId);
const piece = z.union([
  z.string(),
  z.array(z.number().int().min(0).max(255)).describe('bytes of a part of a character'),
]);

/** llama.cpp's shape, then vLLM's. */
export const tokenizeResponseSchema = z.union([
  z.object({ tokens: z.union([tokenIds, z.array(z.object({ id: tokenId, piece }))]) }),
  z.object({
    tokens: tokenIds,
    count,
    max_model_len: count,
    token_strs: z.array(z.string()).optional(),
  }),
]);

/** The tokens of a text or conversation. */
export function tokenized(body: TokenizeRequest, textModel: TextModel): object {
  const { tokenizer } = textModel;
  if ('content' in body) {
    const ids = tokenizer.encode(body.content, {
      bos: (body.add_special ?? false) && tokenizer.roles.addsBos,
      allowSpecial: body.parse_special ?? true,
    });
    return { tokens: body.with_pieces ? ids.map((id) => ({ id, piece: tokenPiece(tokenizer, id) })) : ids };
  }
  const ids =
    'prompt' in body
      ? tokenizer.encode(body.prompt, { bos: (body.add_special_tokens ?? true) && tokenizer.roles.addsBos })
      : chatPrompt(textModel, chatMessages(body.messages), toolDefinitions(body.tools ?? []), {
          addGenerationPrompt: body.add_generation_prompt ?? true,
        });
  return {
    tokens: ids,
    count: ids.length,
    max_model_len: textModel.contextLength,
    ...(body.return_token_strs ? { token_strs: ids.map((id) => tokenizer.decode([id])) } : {}),
  };
}
