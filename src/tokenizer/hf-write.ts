/**
 * Any tokenizer as Hugging Face's files: `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json`.
 */
import type { AddedToken } from './added-tokens.ts';
import { WORD_MARK, type BpeModel, type SentencePieceText } from './bpe-model.ts';
import { writePreTokenizer } from './hf-pre-tokenizer.ts';
import { mergeList, tokenSpelling } from './spelling.ts';
import type { Tokenizer } from './tokenizer.ts';
import { utf8Decode } from './utf8.ts';

export type HfTokenizerContents = { tokenizerJson: string; tokenizerConfigJson: string; specialTokensMapJson: string };

export type HfWriteOptions = {
  /** Jinja chat template to put into tokenizer_config.json. */
  chatTemplate?: string | null;
  /** Context length of the model, tokens. */
  maxLength?: number | null;
};

/** Contents of the files that make Transformers encode and decode as `tokenizer` does. */
export function writeHfTokenizer(tokenizer: Tokenizer, options: HfWriteOptions = {}): HfTokenizerContents {
  const { addedTokens, roles } = tokenizer;
  const nameOf = new Map(addedTokens.map(({ id, content }) => [id, content]));
  const name = (id: number | null) => (id === null ? undefined : nameOf.get(id));
  const names = { bos_token: name(roles.bosId), eos_token: name(roles.eosId), pad_token: name(roles.padId) };
  const config = {
    ...names,
    add_bos_token: roles.addsBos,
    add_eos_token: roles.addsEos,
    clean_up_tokenization_spaces: false,
    ...(options.chatTemplate ? { chat_template: options.chatTemplate } : {}),
    ...(options.maxLength ? { model_max_length: options.maxLength } : {}),
    tokenizer_class: 'PreTrainedTokenizerFast',
  };
  return {
    tokenizerJson: `${JSON.stringify(tokenizerParts(tokenizer, nameOf))}\n`,
    tokenizerConfigJson: `${JSON.stringify(config, null, 2)}\n`,
    specialTokensMapJson: `${JSON.stringify(names, null, 2)}\n`,
  };
}

function tokenizerParts(tokenizer: Tokenizer, nameOf: ReadonlyMap<number, string>): object {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: tokenizer.addedTokens.toSorted((a, b) => a.id - b.id).map(addedTokenPart),
    ...textParts(tokenizer.model.text),
    post_processor: postProcessor(tokenizer, nameOf),
    model: modelPart(tokenizer, nameOf),
  };
}

function addedTokenPart(token: AddedToken): object {
  return {
    id: token.id,
    content: token.content,
    single_word: false,
    lstrip: token.takesSpaceBefore,
    rstrip: token.takesSpaceAfter,
    normalized: token.isNormalized,
    special: token.isSpecial,
  };
}

function modelPart(tokenizer: Tokenizer, nameOf: ReadonlyMap<number, string>): object {
  const { text, vocab, ignoresMerges } = tokenizer.model;
  const isByteLevel = text.kind === 'byte-level';
  const unknown = isByteLevel ? text.unknown : null;
  return {
    type: 'BPE',
    dropout: null,
    unk_token: unknown === null ? null : utf8Decode(vocab.entry(unknown.id)),
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: unknown?.isFused ?? !isByteLevel,
    byte_fallback: !isByteLevel,
    ignore_merges: ignoresMerges,
    ...vocabAndMerges(tokenizer, nameOf),
  };
}

function textParts(text: BpeModel['text']): object {
  if (text.kind === 'byte-level') {
    return {
      normalizer: null,
      pre_tokenizer: writePreTokenizer(text.preTokenizer),
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    };
  }
  const decoders: object[] = [
    { type: 'Replace', pattern: { String: WORD_MARK }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
  ];
  if (text.spacePrefix !== 'never') decoders.push({ type: 'Strip', content: ' ', start: 1, stop: 0 });
  return { ...spaceParts(text), decoder: { type: 'Sequence', decoders } };
}

function spaceParts({ spacePrefix, prefixesSpaces }: SentencePieceText): object {
  if (!prefixesSpaces) {
    const metaspace = { type: 'Metaspace', replacement: WORD_MARK, prepend_scheme: spacePrefix, split: false };
    return { normalizer: null, pre_tokenizer: metaspace };
  }
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: WORD_MARK };
  const prepend = { type: 'Prepend', prepend: WORD_MARK };
  const normalizers = spacePrefix === 'never' ? [replace] : [prepend, replace];
  return { normalizer: { type: 'Sequence', normalizers }, pre_tokenizer: null };
}

function postProcessor({ roles }: Tokenizer, nameOf: ReadonlyMap<number, string>): object | null {
  const framing = [roles.addsBos ? roles.bosId : null, roles.addsEos ? roles.eosId : null];
  if (framing.every((id) => id === null)) return null;
  const piece = (id: number | null | undefined, type_id: number) =>
    id === null || id === undefined ? [] : [{ SpecialToken: { id: nameOf.get(id)!, type_id } }];
  const around = (sequence: 'A' | 'B', type_id: number) => [
    ...piece(framing[0], type_id),
    { Sequence: { id: sequence, type_id } },
    ...piece(framing[1], type_id),
  ];
  const used = framing.filter((id) => id !== null);
  return {
    type: 'TemplateProcessing',
    single: around('A', 0),
    pair: [...around('A', 0), ...around('B', 1)],
    special_tokens: Object.fromEntries(
      used.map((id) => [nameOf.get(id)!, { id: nameOf.get(id)!, ids: [id], tokens: [nameOf.get(id)!] }]),
    ),
  };
}

function vocabAndMerges(
  { model }: Tokenizer,
  addedNames: ReadonlyMap<number, string>,
): { vocab: Record<string, number>; merges: [string, string][] } {
  const { vocab } = model;
  const spelling = tokenSpelling(model);
  const ids: Record<string, number> = Object.create(null) as Record<string, number>;
  for (let id = 0; id < vocab.size; id++) {
    if (addedNames.has(id) ? !vocab.isHidden(id) : vocab.entryLength(id) > 0) ids[spelling(id)] = id;
  }
  // Hugging Face numbers added tokens that are not in the vocabulary one by one behind it, whatever ids the file gives them.
  const outside = [...addedNames.keys()].filter((id) => vocab.isHidden(id)).toSorted((a, b) => a - b);
  const firstId = Object.keys(ids).length;
  if (outside.some((id, i) => id !== firstId + i)) for (const id of outside) ids[addedNames.get(id)!] = id;
  return { vocab: ids, merges: mergeList(model).map(([left, right]) => [spelling(left), spelling(right)]) };
}
