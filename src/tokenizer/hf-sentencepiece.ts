/**
 * Llama 2's kind of tokenizer.json: BPE over characters with byte fallback, spaces written as U+2581.
 */
import { z } from 'zod';
import { WORD_MARK, type BpeModel, type SentencePieceText } from './bpe-model.ts';
import { checkPart, unsupported, type HfTokenizerJson, type TypedJson } from './hf-schema.ts';
import { buildMerges, buildVocab, byteOfToken, byteTokenIds } from './vocab-builder.ts';
import { utf8Encode } from './utf8.ts';

const metaspace = z.object({
  replacement: z.literal(WORD_MARK),
  prepend_scheme: z.enum(['always', 'first', 'never']).default('always'),
  split: z.boolean().default(true),
});
const prepend = z.object({ type: z.literal('Prepend'), prepend: z.literal(WORD_MARK) });
const replace = z.object({
  type: z.literal('Replace'),
  pattern: z.object({ String: z.literal(' ') }),
  content: z.literal(WORD_MARK),
});
const spacesNormalizer = z.union([
  replace.transform(() => 'never' as const),
  z.object({ type: z.literal('Sequence'), normalizers: z.tuple([replace]) }).transform(() => 'never' as const),
  z
    .object({ type: z.literal('Sequence'), normalizers: z.tuple([prepend, replace]) })
    .transform(() => 'always' as const),
]);

/** Model of such a file; `tokens` are all strings by id. */
export function readSentencePieceModel(
  json: HfTokenizerJson,
  tokens: readonly (string | undefined)[],
  specialIds: ReadonlySet<number>,
): BpeModel {
  const { model } = json;
  if (!model.byte_fallback) throw unsupported('model.byte_fallback', 'is false, and pre_tokenizer makes no bytes');
  const normalized = json.added_tokens.findIndex((token) => token.normalized);
  if (json.normalizer && normalized >= 0) throw unsupported(`added_tokens.${normalized}.normalized`, 'is true');
  const idOf = (token: string) => {
    const id = model.vocab[token];
    return typeof id === 'number' ? id : undefined;
  };
  return {
    vocab: buildVocab(tokens, 'word-mark', (id, token) => {
      const byte = byteOfToken(token);
      if (byte !== null) return Uint8Array.of(byte);
      return specialIds.has(id) ? utf8Encode(token) : null;
    }),
    merges: buildMerges(model.merges, idOf, 'tokenizer.json: model.merges'),
    scores: null,
    ignoresMerges: model.ignore_merges,
    text: {
      kind: 'sentencepiece',
      ...readSpaces(json.normalizer, json.pre_tokenizer),
      byteIds: byteTokenIds(tokens, 'tokenizer.json: model.vocab'),
    },
  };
}

function readSpaces(
  normalizer: TypedJson | null | undefined,
  preTokenizer: TypedJson | null | undefined,
): Pick<SentencePieceText, 'spacePrefix' | 'prefixesSpaces'> {
  if (!preTokenizer) {
    return { spacePrefix: checkPart(spacesNormalizer, normalizer, 'normalizer'), prefixesSpaces: true };
  }
  if (normalizer) throw unsupported('normalizer.type', `is ${JSON.stringify(normalizer.type)} beside a pre_tokenizer`);
  const { prepend_scheme, split } = checkPart(metaspace, preTokenizer, 'pre_tokenizer');
  if (split) throw unsupported('pre_tokenizer.split', 'is true');
  return { spacePrefix: prepend_scheme, prefixesSpaces: false };
}
