/**
 * What /inside/tokens answers: the tokens of a text or conversation as the page shows them, with their bytes and places.
 */
import { z } from 'zod';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { RequestError } from '../util/errors.ts';
import type { TextModel } from './text-task.ts';

const MAX_TEXT_CHARS = 200_000;

/** A text to look into. */
export const shownText = z.string().max(MAX_TEXT_CHARS);

const messageSchema = z.object({ role: z.enum(['system', 'user', 'assistant']), content: shownText });
const messages = z
  .array(messageSchema)
  .min(1)
  .max(1000)
  .refine((all) => all.reduce((sum, { content }) => sum + content.length, 0) <= MAX_TEXT_CHARS, {
    error: `hold more than the ${MAX_TEXT_CHARS} characters that are shown; leave some out`,
  });

export const tokensSchema = z.union([
  z.strictObject({
    model: z.string(),
    text: shownText,
    special: z.boolean().default(false),
    bos: z.boolean().default(false),
  }),
  z.strictObject({ model: z.string(), messages, generation_prompt: z.boolean().default(true) }),
]);
export type TokensRequest = z.output<typeof tokensSchema>;

/** The tokens, and of a conversation the text they stand for. */
export function shownTokens(request: TokensRequest, { tokenizer, chatFormat }: TextModel): object {
  if ('text' in request) {
    const { ids, starts, ends } = tokenizer.encodeWithOffsets(request.text, {
      allowSpecial: request.special,
      bos: request.bos && tokenizer.bosId !== null,
    });
    return { tokens: ids.map((id, i) => shownToken(tokenizer, id, { start: starts[i]!, end: ends[i]! })) };
  }
  if (chatFormat === null) {
    throw new RequestError(400, 'this model has no chat template; look at plain text instead');
  }
  const options = { addGenerationPrompt: request.generation_prompt };
  const ids = chatFormat.encode(request.messages, options);
  return { tokens: ids.map((id) => shownToken(tokenizer, id)), rendered: chatFormat.render(request.messages, options) };
}

/** A token as the page shows it. */
export function shownToken(tokenizer: Tokenizer, id: number, more: object = {}): object {
  return Object.assign({ id, bytes: [...tokenizer.tokenBytes(id)], special: tokenizer.isSpecial(id) }, more);
}
