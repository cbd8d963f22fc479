/**
 * /tokenize and /detokenize in the shapes of llama.cpp (`content`) and vLLM (`prompt`, `messages`).
 * Sources: llama.cpp tools/server/README.md; vLLM's OpenAI-compatible server, tokenizer API.
 */
import { z } from 'zod';
import { messageSchema, toolSchema } from './openai-chat-schema.ts';
import { chatMessages, toolDefinitions } from './openai-messages.ts';
import { chatPrompt } from './prompt.ts';
import { optional } from './request-fields.ts';
import { acquireModel, post, type Call, type Route } from './route.ts';
import { checkTokenIds } from './sampling-request.ts';
import type { ServedModel } from './served-model.ts';

const flag = optional(z.boolean());
const model = optional(z.string());

const tokenizeSchema = z.union([
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

const detokenizeSchema = z.strictObject({ model, tokens: z.array(z.number().int().min(0)) });

/** Both rows. */
export const TOKENIZE_ROUTES: readonly Route[] = [
  post('/tokenize', 'Tokens of a text or conversation', tokenizeSchema, (call, body) =>
    withModel(call, body.model, (served) => tokenized(body, served)),
  ),
  post('/detokenize', 'The text of tokens', detokenizeSchema, (call, body) =>
    withModel(call, body.model, ({ tokenizer }) => {
      checkTokenIds(body.tokens, 'tokens', tokenizer);
      const text = tokenizer.decode(body.tokens);
      return { content: text, prompt: text };
    }),
  ),
];

async function withModel(
  call: Call,
  name: string | undefined,
  work: (model: ServedModel) => object,
): Promise<Response> {
  const lease = await acquireModel(call, name);
  try {
    return Response.json(work(lease.model));
  } finally {
    lease.release();
  }
}

function tokenized(body: z.output<typeof tokenizeSchema>, served: ServedModel): object {
  const { tokenizer } = served;
  if ('content' in body) {
    const ids = tokenizer.encode(body.content, {
      bos: (body.add_special ?? false) && tokenizer.roles.addsBos,
      allowSpecial: body.parse_special ?? true,
    });
    return { tokens: body.with_pieces ? ids.map((id) => ({ id, piece: pieceOf(served, id) })) : ids };
  }
  const ids =
    'prompt' in body
      ? tokenizer.encode(body.prompt, { bos: (body.add_special_tokens ?? true) && tokenizer.roles.addsBos })
      : chatPrompt(served, chatMessages(body.messages), toolDefinitions(body.tools ?? []), {
          addGenerationPrompt: body.add_generation_prompt ?? true,
        });
  return {
    tokens: ids,
    count: ids.length,
    max_model_len: served.model.contextLength,
    ...(body.return_token_strs ? { token_strs: ids.map((id) => tokenizer.decode([id])) } : {}),
  };
}

/** Text, or bytes where a token holds part of a character (llama.cpp). */
function pieceOf({ tokenizer }: ServedModel, id: number): string | number[] {
  const bytes = tokenizer.tokenBytes(id);
  const text = tokenizer.decode([id]);
  return text.includes('\ufffd') ? [...bytes] : text;
}
