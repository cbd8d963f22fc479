/**
 * Routes that let the page look into a model and its tokenizer: sizes, tokens of a text or conversation, merge steps, the next-token
 * distribution, attention patterns.
 */
import { z } from 'zod';
import { attentionPattern } from '../infer/attention-probe.ts';
import { kvBytesPerToken } from '../infer/kv-cache.ts';
import { nextTokens } from '../infer/next-token-probe.ts';
import { mergeSteps } from '../tokenizer/merge-steps.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { RequestError } from '../util/errors.ts';
import { shownText, shownToken, tokensSchema } from './inside-tokens.ts';
import { UNDOCUMENTED } from './response-schemas.ts';
import { acquireModel, type Call, get, post, type Route } from './route.ts';
import type { ServedModel } from './served-model.ts';
import { answerTextTask } from './text-thread.ts';

/** What there is to look into. */
export type InsideModel = Pick<ServedModel, 'tokenizer' | 'chatFormat' | 'model'>;

/** Most tokens of a text whose attention is shown: a picture of more cannot be read. */
const MAX_PATTERN_TOKENS = 256;
/** Longest word whose merges are shown; their number grows with its length, and each step lists what is left. */
const MAX_MERGE_CHARS = 400;

const named = { model: z.string() };

const mergesRequest = z.strictObject({ ...named, text: z.string().max(MAX_MERGE_CHARS) });
const nextRequest = z.strictObject({ ...named, text: shownText, count: z.number().int().min(1).max(100).default(20) });
const attentionRequest = z.strictObject({ ...named, text: shownText, layer: z.number().int(), head: z.number().int() });

/** All rows. */
export const INSIDE_ROUTES: readonly Route[] = [
  get('/inside/model', 'Sizes of the model that the query names', UNDOCUMENTED, (call) => {
    const name = new URL(call.request.url).searchParams.get('model') ?? undefined;
    return look(call, name, describe);
  }),
  post(
    '/inside/tokens',
    'Tokens of a text or conversation, with their bytes and places',
    tokensSchema,
    UNDOCUMENTED,
    async (call, body) => {
      const lease = await acquireModel(call, body.model);
      try {
        return await answerTextTask(lease.model, { kind: 'inside-tokens', body }, call.scope.signal);
      } finally {
        lease.release();
      }
    },
  ),
  post('/inside/merges', 'How a word is merged', mergesRequest, UNDOCUMENTED, (call, body) =>
    look(call, body.model, ({ tokenizer }) => mergesOf(body.text, tokenizer)),
  ),
  post('/inside/next', 'The likeliest next tokens of a text', nextRequest, UNDOCUMENTED, (call, body) =>
    look(call, body.model, (model) => nextOf(body, model)),
  ),
  post(
    '/inside/attention',
    'Attention probabilities of one layer and head',
    attentionRequest,
    UNDOCUMENTED,
    (call, body) => look(call, body.model, (model) => attentionOf(body, model)),
  ),
];

async function look(
  call: Call,
  name: string | undefined,
  work: (model: InsideModel) => object | Promise<object>,
): Promise<Response> {
  const lease = await acquireModel(call, name);
  try {
    return Response.json(await work(lease.model));
  } finally {
    lease.release();
  }
}

function describe({ tokenizer, chatFormat, model }: InsideModel): object {
  const { config, contextLength, kvType, weightForm } = model;
  return {
    is_chat: chatFormat !== null,
    context_length: contextLength,
    config,
    weight_type: weightForm,
    kv_type: kvType,
    kv_bytes_per_token: kvBytesPerToken(config, kvType),
    vocab_size: tokenizer.vocabSize,
    special_tokens: [...tokenizer.specialTokens].map(([content, id]) => ({ id, text: content })),
    adds_bos: tokenizer.roles.addsBos,
  };
}

function mergesOf(word: string, tokenizer: Tokenizer): object {
  const token = (id: number) => shownToken(tokenizer, id);
  const pieces = mergeSteps(tokenizer.model, word).map(({ text: piece, symbols, steps, ids }) => ({
    text: piece,
    symbols: symbols.map(token),
    steps: steps.map(({ at, rank, ids: after }) => ({ at, rank, tokens: after.map(token) })),
    tokens: ids.map(token),
  }));
  return { pieces };
}

/** Ids of a text as the model is given it: with its beginning-of-text token if it was trained with one. */
function promptIds(prompt: string, { tokenizer }: InsideModel): number[] {
  const ids = tokenizer.encode(prompt, { bos: tokenizer.roles.addsBos, allowSpecial: true });
  if (ids.length > 0) return ids;
  if (tokenizer.bosId !== null) return [tokenizer.bosId];
  throw new RequestError(400, 'the text is empty; type something');
}

async function nextOf(request: z.infer<typeof nextRequest>, inside: InsideModel): Promise<object> {
  const ids = promptIds(request.text, inside);
  const { candidates, entropyBits } = await nextTokens(inside.model, ids, request.count);
  return {
    prompt_tokens: ids.length,
    entropy_bits: entropyBits,
    candidates: candidates.map(({ id, probability }) => shownToken(inside.tokenizer, id, { probability })),
  };
}

const PATTERN_DECIMALS = 1e4; // finer than a shade of colour

async function attentionOf(request: z.infer<typeof attentionRequest>, inside: InsideModel): Promise<object> {
  const ids = promptIds(request.text, inside);
  if (ids.length > MAX_PATTERN_TOKENS) {
    throw new RequestError(
      400,
      `attention is shown for up to ${MAX_PATTERN_TOKENS} tokens, this text has ${ids.length}; shorten it`,
    );
  }
  const pattern = await attentionPattern(inside.model, ids, request);
  const rows = ids.map((_, row) => {
    const shares = pattern.subarray(row * ids.length, row * ids.length + row + 1); // what comes later is not attended to
    return Array.from(shares, (share) => Math.round(share * PATTERN_DECIMALS) / PATTERN_DECIMALS);
  });
  return { tokens: ids.map((id) => shownToken(inside.tokenizer, id)), rows };
}
