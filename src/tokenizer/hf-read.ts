/**
 * Tokenizers in Hugging Face's format: `tokenizer.json` with, beside it, `tokenizer_config.json` and `special_tokens_map.json`.
 * Knows nothing about disks: takes contents. Source: huggingface/tokenizers, the serialization of its components.
 */
import type { AddedToken } from './added-tokens.ts';
import { singleByteIds, type BpeModel } from './bpe-model.ts';
import { readPreTokenizer } from './hf-pre-tokenizer.ts';
import { readFrame } from './hf-post-processor.ts';
import {
  parseEosTokenIds,
  parseTokenizerJson,
  parseTokenNames,
  unsupported,
  type HfTokenizerJson,
  type HfTokenNames,
} from './hf-schema.ts';
import { readSentencePieceModel } from './hf-sentencepiece.ts';
import { knownStopIds } from './special-tokens.ts';
import { Tokenizer, type TokenRoles } from './tokenizer.ts';
import type { PreTokenizer } from './pre-tokenizer.ts';
import type { RunBounded } from './regexp-splitter.ts';
import { utf8Encode } from './utf8.ts';
import { buildMerges, buildVocab, MAX_HOLES, MAX_VOCAB_SIZE } from './vocab-builder.ts';

export type HfTokenizerFiles = {
  tokenizerJson: string;
  tokenizerConfigJson?: string | null;
  specialTokensMapJson?: string | null;
  /** Names further ids that end generation. */
  generationConfigJson?: string | null;
  /** How to run a regular expression of the file that no scanner is known for; by default to its end. */
  runBounded?: RunBounded;
};

/** Tokenizer of Hugging Face's files; a feature that is not read is a FormatError that names its place in the JSON. */
export function readHfTokenizer(files: HfTokenizerFiles): Tokenizer {
  const json = parseTokenizerJson(files.tokenizerJson);
  checkModel(json);
  const addedTokens = readAddedTokens(json);
  const tokens = tokensById(json, addedTokens);
  const preTokenizer = readPreTokenizer(json.pre_tokenizer, files.runBounded);
  if (preTokenizer !== null && json.normalizer) {
    throw unsupported('normalizer.type', `is ${JSON.stringify(json.normalizer.type)}`);
  }
  const specialIds = new Set(addedTokens.filter((token) => token.isSpecial).map(({ id }) => id));
  const model =
    preTokenizer === null
      ? readSentencePieceModel(json, tokens, specialIds)
      : byteLevelModel(json, tokens, specialIds, preTokenizer);
  return new Tokenizer(model, addedTokens, readRoles(json, files, addedTokens));
}

function byteLevelModel(
  json: HfTokenizerJson,
  tokens: readonly (string | undefined)[],
  specialIds: ReadonlySet<number>,
  preTokenizer: PreTokenizer,
): BpeModel {
  const { unk_token, fuse_unk, merges, ignore_merges } = json.model;
  const idOf = modelTokenIds(json);
  const vocab = buildVocab(tokens, 'alphabet', (id, token) =>
    specialIds.has(id) || idOf(token) === undefined ? utf8Encode(token) : null,
  );
  const unknownId = unk_token ? idOf(unk_token) : undefined;
  return {
    vocab,
    merges: buildMerges(merges, idOf, 'tokenizer.json: model.merges'),
    scores: null,
    ignoresMerges: ignore_merges,
    text: {
      kind: 'byte-level',
      preTokenizer,
      byteIds: singleByteIds(vocab),
      unknown: unknownId === undefined ? null : { id: unknownId, isFused: fuse_unk },
    },
  };
}

function checkModel({ model }: HfTokenizerJson): void {
  if (model.type !== 'BPE') throw unsupported('model.type', `is ${JSON.stringify(model.type)}`);
  if (model.dropout) throw unsupported('model.dropout', `is ${model.dropout}`);
  for (const key of ['continuing_subword_prefix', 'end_of_word_suffix'] as const) {
    if (model[key]) throw unsupported(`model.${key}`, `is ${JSON.stringify(model[key])}`);
  }
}

function readAddedTokens({ added_tokens }: HfTokenizerJson): AddedToken[] {
  return added_tokens.map((token, i) => {
    if (token.single_word) throw unsupported(`added_tokens.${i}.single_word`, 'is true');
    if (token.id >= MAX_VOCAB_SIZE) throw unsupported(`added_tokens.${i}.id`, `is ${token.id}`);
    return {
      id: token.id,
      content: token.content,
      isSpecial: token.special,
      takesSpaceBefore: token.lstrip,
      takesSpaceAfter: token.rstrip,
      isNormalized: token.normalized,
    };
  });
}

/** Strings of all tokens by id, those of the model and the added ones. */
function tokensById({ model }: HfTokenizerJson, addedTokens: readonly AddedToken[]): (string | undefined)[] {
  const tokens: (string | undefined)[] = [];
  for (const token of Object.keys(model.vocab)) {
    const id = model.vocab[token];
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= MAX_VOCAB_SIZE) {
      throw unsupported(`model.vocab[${JSON.stringify(token)}]`, `is ${JSON.stringify(id)}`);
    }
    if (tokens[id] !== undefined) throw unsupported(`model.vocab[${JSON.stringify(token)}]`, `repeats the id ${id}`);
    tokens[id] = token;
  }
  for (const [i, { id, content }] of addedTokens.entries()) {
    if (tokens[id] !== undefined && tokens[id] !== content) {
      throw unsupported(`added_tokens.${i}.id`, `is ${id}, which is the token ${JSON.stringify(tokens[id])} already`);
    }
    tokens[id] = content;
  }
  const numTokens = Object.keys(model.vocab).length + addedTokens.length;
  if (tokens.length > numTokens + MAX_HOLES) {
    throw unsupported('model.vocab', `gives ${numTokens} tokens ids up to ${tokens.length - 1}`);
  }
  return tokens;
}

/** Lookup of ids by the strings of `model.vocab`. */
function modelTokenIds({ model }: HfTokenizerJson): (token: string) => number | undefined {
  return (token) => {
    const id = model.vocab[token];
    return typeof id === 'number' ? id : undefined; // an inherited property is no token
  };
}

function readRoles(json: HfTokenizerJson, files: HfTokenizerFiles, addedTokens: readonly AddedToken[]): TokenRoles {
  const idByContent = new Map(addedTokens.map(({ content, id }) => [content, id]));
  const config = files.tokenizerConfigJson ? parseTokenNames(files.tokenizerConfigJson, 'tokenizer_config.json') : null;
  const map = files.specialTokensMapJson
    ? parseTokenNames(files.specialTokensMapJson, 'special_tokens_map.json')
    : null;
  const roleId = (key: 'bos_token' | 'eos_token' | 'pad_token'): number | null => {
    const name = config?.[key] ?? map?.[key];
    return name ? (idByContent.get(name) ?? null) : null;
  };
  const frame = readFrame(json.post_processor);
  const bosId = roleId('bos_token') ?? frame.prefixId;
  const eosId = roleId('eos_token') ?? frame.suffixId;
  const stopIds = new Set([
    ...(eosId === null ? [] : [eosId]),
    ...generationEnds(files.generationConfigJson),
    ...knownStopIds(idByContent),
  ]);
  return {
    bosId,
    eosId,
    padId: roleId('pad_token'),
    stopIds: [...stopIds],
    addsBos: bosId !== null && (llamaFlag(config, 'add_bos_token') ?? frame.prefixId === bosId),
    addsEos: eosId !== null && (llamaFlag(config, 'add_eos_token') ?? frame.suffixId === eosId),
  };
}

function generationEnds(json: string | null | undefined): number[] {
  return json ? parseEosTokenIds(json, 'generation_config.json') : [];
}

/** Transformers' Llama tokenizer class follows these flags, its general class the post-processor alone. */
function llamaFlag(config: HfTokenNames | null, key: 'add_bos_token' | 'add_eos_token'): boolean | null {
  return config?.tokenizer_class?.startsWith('Llama') ? (config[key] ?? null) : null;
}
