/**
 * /tokenize and /detokenize. However long a text is, the event loop turns meanwhile.
 */
import { z } from 'zod';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { runInSlices, type Sliced } from '../util/slices.ts';
import { optional } from './request-fields.ts';
import { json } from './response-schemas.ts';
import { acquireModel, post, type Call, type Route } from './route.ts';
import { checkTokenIds } from './sampling-request.ts';
import type { ServedModel } from './served-model.ts';
import { answerTextTask } from './text-thread.ts';
import { tokenizeResponseSchema, tokenizeSchema } from './tokenize-answer.ts';

const detokenizeSchema = z.strictObject({ model: optional(z.string()), tokens: z.array(z.number().int().min(0)) });

const detokenizeResponseSchema = z
  .object({ content: z.string(), prompt: z.string() })
  .describe('the text, as llama.cpp names it and as vLLM does');

/** Both rows. */
export const TOKENIZE_ROUTES: readonly Route[] = [
  post('/tokenize', 'Tokens of a text or conversation', tokenizeSchema, json(tokenizeResponseSchema), (call, body) =>
    withModel(call, body.model, (served) => answerTextTask(served, { kind: 'tokenize', body }, call.scope.signal)),
  ),
  post('/detokenize', 'The text of tokens', detokenizeSchema, json(detokenizeResponseSchema), (call, body) =>
    withModel(call, body.model, async ({ tokenizer }) => {
      checkTokenIds(body.tokens, 'tokens', tokenizer);
      const text = await runInSlices(decoding(tokenizer, body.tokens));
      return Response.json({ content: text, prompt: text });
    }),
  ),
];

async function withModel(
  call: Call,
  name: string | undefined,
  work: (model: ServedModel) => Promise<Response>,
): Promise<Response> {
  const lease = await acquireModel(call, name);
  try {
    return await work(lease.model);
  } finally {
    lease.release();
  }
}

const SLICE_TOKENS = 2 ** 10;

/** The text of ids, as `decode` gives it. */
function* decoding(tokenizer: Tokenizer, ids: readonly number[]): Sliced<string> {
  const decoder = tokenizer.streamDecoder();
  let text = '';
  for (const [i, id] of ids.entries()) {
    text += decoder.push(id);
    if (i % SLICE_TOKENS === 0) yield;
  }
  return text + decoder.flush();
}
