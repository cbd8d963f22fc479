/**
 * Tokenizers inside GGUF files: from and to the file's metadata, which someone else parses and writes.
 * Source: ggml-org/llama.cpp src/llama-vocab.cpp, which patterns and defaults go with which name.
 */
import { specialToken, type AddedToken } from './added-tokens.ts';
import { singleByteIds, WORD_MARK, type BpeModel } from './bpe-model.ts';
import { ggufError, parseGgufVocabulary, TOKEN_TYPE, type GgufVocabulary } from './gguf-schema.ts';
import {
  GPT2_PATTERN,
  namedPreTokenizer,
  preTokenizerOf,
  type PreTokenizer,
  type PreTokenizerName,
} from './pre-tokenizer.ts';
import { knownStopIds } from './special-tokens.ts';
import { mergeList, tokenSpelling } from './spelling.ts';
import { Tokenizer } from './tokenizer.ts';
import { utf8Decode, utf8Encode } from './utf8.ts';
import { buildMerges, buildVocab, byteOfToken, byteTokenIds, MAX_VOCAB_SIZE } from './vocab-builder.ts';
import { ConfigError } from '../util/errors.ts';

// Names in `tokenizer.ggml.pre`; the first of each is the one that is written.
const PRE_NAMES: Record<PreTokenizerName, readonly string[]> = {
  llama3: ['llama-bpe', 'llama3', 'llama-v3', 'smaug-bpe', 'dbrx', 'falcon3', 'pixtral'],
  gpt2: ['gpt-2', 'phi-2', 'mellum', 'gigachat'],
  smollm: ['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone', 'minerva-7b'],
  qwen2: ['qwen2', 'stablelm2', 'deepseek-r1-qwen', 'megrez'],
};
// With these a piece that is a token needs no merges, and text begins with the bos token.
const LLAMA3_NAMES = new Set(['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'pixtral']);
// llama.cpp's expressions for files that name no pre-tokenizer.
const DEFAULT_PATTERNS = [
  String.raw`[\p{P}\$\+<=>\^~\|]+`,
  GPT2_PATTERN.replace(/\|\\s\+$/, ''),
  String.raw`\p{N}+`,
  '[0-9][0-9][0-9]',
];

/** Tokenizer of a GGUF file; `get` gives the value of a metadata key (lists as plain or typed arrays) or undefined. */
export function readGgufTokenizer(get: (key: string) => unknown): Tokenizer {
  const vocabulary = parseGgufVocabulary(get);
  if (vocabulary.tokens.length > MAX_VOCAB_SIZE) {
    throw ggufError('tokenizer.ggml.tokens', `has ${vocabulary.tokens.length} entries`);
  }
  switch (vocabulary.model) {
    case 'gpt2':
      return byteLevelTokenizer(vocabulary);
    case 'llama':
      return sentencePieceTokenizer(vocabulary);
    default:
      throw ggufError('tokenizer.ggml.model', `is ${JSON.stringify(vocabulary.model)}`);
  }
}

function byteLevelTokenizer(vocabulary: GgufVocabulary): Tokenizer {
  const { tokens, tokenTypes, merges, pre } = vocabulary;
  if (merges === null) throw ggufError('tokenizer.ggml.merges', 'is missing');
  const idByToken = new Map(tokens.map((token, id) => [token, id]));
  const vocab = buildVocab(tokens, 'alphabet', (id, token) =>
    tokenTypes[id] === TOKEN_TYPE.normal || tokenTypes[id] === TOKEN_TYPE.byte ? null : utf8Encode(token),
  );
  const isLlama3 = pre !== null && LLAMA3_NAMES.has(pre);
  const model: BpeModel = {
    vocab,
    merges: buildMerges(Array.from(merges), (token) => idByToken.get(token), 'GGUF metadata: tokenizer.ggml.merges'),
    scores: null,
    ignoresMerges: isLlama3,
    text: {
      kind: 'byte-level',
      preTokenizer: preTokenizerNamed(pre ?? 'default'),
      byteIds: singleByteIds(vocab),
      unknown: null,
    },
  };
  return withRoles(model, vocabulary, isLlama3);
}

function preTokenizerNamed(pre: string): PreTokenizer {
  for (const name of Object.keys(PRE_NAMES) as PreTokenizerName[]) {
    if (PRE_NAMES[name].includes(pre)) return namedPreTokenizer(name);
  }
  if (pre !== 'default') {
    throw ggufError(
      'tokenizer.ggml.pre',
      `is ${JSON.stringify(pre)}, which is none of ${Object.values(PRE_NAMES).flat().join(', ')}`,
    );
  }
  return preTokenizerOf(
    DEFAULT_PATTERNS.map((pattern) => ({ pattern, dropsUnmatched: false, where: 'tokenizer.ggml.pre default' })),
  );
}

function sentencePieceTokenizer(vocabulary: GgufVocabulary): Tokenizer {
  const { tokens, tokenTypes, scores, addsSpacePrefix } = vocabulary;
  if (scores === null) throw ggufError('tokenizer.ggml.scores', 'is missing');
  const model: BpeModel = {
    vocab: buildVocab(tokens, 'word-mark', (id, token) => {
      const byte = tokenTypes[id] === TOKEN_TYPE.byte ? byteOfToken(token) : null;
      if (byte !== null) return Uint8Array.of(byte);
      return tokenTypes[id] === TOKEN_TYPE.normal ? null : utf8Encode(contentOf(token));
    }),
    merges: null,
    scores,
    ignoresMerges: false,
    text: {
      kind: 'sentencepiece',
      spacePrefix: (addsSpacePrefix ?? true) ? 'always' : 'never',
      prefixesSpaces: true,
      byteIds: byteTokenIds(tokens, 'GGUF metadata: tokenizer.ggml.tokens'),
    },
  };
  const defaults = { bosId: vocabulary.bosId ?? 1, eosId: vocabulary.eosId ?? 2 }; // llama.cpp's for this model
  return withRoles(model, { ...vocabulary, ...defaults }, true);
}

function contentOf(token: string): string {
  return token.replaceAll(WORD_MARK, ' ');
}

function withRoles(model: BpeModel, vocabulary: GgufVocabulary, addsBosByDefault: boolean): Tokenizer {
  const { tokens, tokenTypes, bosId, eosId, padId, endIds, addsBos, addsEos } = vocabulary;
  const added: AddedToken[] = [];
  for (const [id, token] of tokens.entries()) {
    const type = tokenTypes[id];
    const isSpecial = type === TOKEN_TYPE.control || type === TOKEN_TYPE.unknown;
    if (token === '' || !(isSpecial || type === TOKEN_TYPE.userDefined)) continue;
    added.push({ ...specialToken(isSpecial ? token : contentOf(token), id), isSpecial });
  }
  const idByName = new Map(added.map(({ content, id }) => [content, id]));
  return new Tokenizer(model, added, {
    bosId,
    eosId,
    padId,
    stopIds: [...new Set([...(eosId === null ? [] : [eosId]), ...endIds, ...knownStopIds(idByName)])],
    addsBos: bosId !== null && (addsBos ?? addsBosByDefault),
    addsEos: eosId !== null && (addsEos ?? false),
  });
}

/** A metadata value: a writer tells the GGUF type from it (numbers are uint32). */
export type GgufValue = string | number | boolean | readonly string[] | Int32Array | Float32Array;

/** Metadata that makes llama.cpp encode and decode as `tokenizer` does, in the order to write it. */
export function writeGgufTokenizer(tokenizer: Tokenizer, chatTemplate: string | null = null): Map<string, GgufValue> {
  const { model, roles } = tokenizer;
  const entries = new Map<string, GgufValue>();
  const put = (key: string, value: GgufValue | null) => {
    if (value !== null) entries.set(`tokenizer.${key}`, value);
  };
  if (model.text.kind === 'byte-level') {
    const { name } = model.text.preTokenizer;
    if (name === null) {
      throw new ConfigError(
        "GGUF has no name for this tokenizer's way of cutting text into pieces; write a Hugging Face folder instead.",
      );
    }
    put('ggml.model', 'gpt2');
    put('ggml.pre', PRE_NAMES[name][0]!);
  } else {
    put('ggml.model', 'llama');
  }
  const { tokens, types } = tokenList(tokenizer);
  const spelling = tokenSpelling(model);
  put('ggml.tokens', tokens);
  put('ggml.token_type', types);
  if (model.text.kind === 'sentencepiece') {
    put('ggml.scores', scoresOf(model));
    put('ggml.add_space_prefix', model.text.spacePrefix !== 'never');
  } else {
    put(
      'ggml.merges',
      mergeList(model).map(([left, right]) => `${spelling(left)} ${spelling(right)}`),
    );
  }
  put('ggml.bos_token_id', roles.bosId);
  put('ggml.eos_token_id', roles.eosId);
  put('ggml.padding_token_id', roles.padId);
  put('ggml.add_bos_token', roles.addsBos);
  put('ggml.add_eos_token', roles.addsEos);
  put('chat_template', chatTemplate);
  return entries;
}

function tokenList({ model, addedTokens }: Tokenizer): { tokens: string[]; types: Int32Array } {
  const { vocab, text } = model;
  const spelling = tokenSpelling(model);
  const added = new Map(addedTokens.map((token) => [token.id, token]));
  const byteIds = new Set(text.kind === 'sentencepiece' ? text.byteIds : []);
  const tokens: string[] = [];
  const types = new Int32Array(vocab.size);
  for (let id = 0; id < vocab.size; id++) {
    const token = added.get(id);
    if (token !== undefined) {
      tokens.push(token.content);
      types[id] = token.isSpecial ? TOKEN_TYPE.control : TOKEN_TYPE.userDefined;
    } else if (vocab.entryLength(id) === 0) {
      tokens.push(`[PAD${id}]`);
      types[id] = TOKEN_TYPE.unused;
    } else {
      tokens.push(vocab.isHidden(id) && !byteIds.has(id) ? utf8Decode(vocab.entry(id)) : spelling(id));
      types[id] = byteIds.has(id) ? TOKEN_TYPE.byte : vocab.isHidden(id) ? TOKEN_TYPE.unused : TOKEN_TYPE.normal;
    }
  }
  return { tokens, types };
}

/** Scores of the file it came from, or, for listed merges, such that an earlier merge scores higher. */
function scoresOf({ vocab, merges, scores }: BpeModel): Float32Array {
  if (scores !== null) return scores;
  const made = new Float32Array(vocab.size);
  if (merges === null) return made;
  for (let rank = merges.size - 1; rank >= 0; rank--) {
    const { left, right } = merges.pair(rank);
    made[merges.mergedId(left, right, rank)] = -rank;
  }
  return made;
}
