/**
 * The metadata of a GGUF file that describes a tokenizer, checked. Source: ggml-org/ggml docs/gguf.md, section Tokenizer.
 */
import { z } from 'zod';
import { FormatError } from '../util/errors.ts';

/** Kinds of tokens in `tokenizer.ggml.token_type`. */
export const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

const id = z.number().int().nonnegative();
// Lists may be plain or typed arrays; their items are checked where they are read.
const list = z.custom<ArrayLike<unknown>>(
  (value) => Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView)),
  'expected an array',
);

const vocabularyMetadata = z.object({
  'tokenizer.ggml.model': z.string(),
  'tokenizer.ggml.pre': z.string().nullish(),
  'tokenizer.ggml.tokens': list,
  'tokenizer.ggml.token_type': list.nullish(),
  'tokenizer.ggml.scores': list.nullish(),
  'tokenizer.ggml.merges': list.nullish(),
  'tokenizer.ggml.bos_token_id': id.nullish(),
  'tokenizer.ggml.eos_token_id': id.nullish(),
  'tokenizer.ggml.eot_token_id': id.nullish(),
  'tokenizer.ggml.eom_token_id': id.nullish(),
  'tokenizer.ggml.unknown_token_id': id.nullish(),
  'tokenizer.ggml.padding_token_id': id.nullish(),
  'tokenizer.ggml.add_bos_token': z.boolean().nullish(),
  'tokenizer.ggml.add_eos_token': z.boolean().nullish(),
  'tokenizer.ggml.add_space_prefix': z.boolean().nullish(),
});

/** What a GGUF file says about its tokenizer, in JavaScript values: a writer can tell the GGUF type from each. */
export type GgufVocabulary = {
  model: string;
  pre: string | null;
  tokens: readonly string[];
  tokenTypes: readonly number[];
  scores: Float32Array | null;
  merges: ArrayLike<unknown> | null;
  bosId: number | null;
  eosId: number | null;
  endIds: readonly number[];
  unknownId: number | null;
  padId: number | null;
  addsBos: boolean | null;
  addsEos: boolean | null;
  addsSpacePrefix: boolean | null;
};

/** Checked vocabulary of a file's metadata; `get` gives the value of a key or undefined. */
export function parseGgufVocabulary(get: (key: string) => unknown): GgufVocabulary {
  const keys = Object.keys(vocabularyMetadata.shape) as (keyof typeof vocabularyMetadata.shape)[];
  const result = vocabularyMetadata.safeParse(Object.fromEntries(keys.map((key) => [key, get(key)])));
  if (!result.success) {
    const issue = result.error.issues[0]!;
    throw ggufError(String(issue.path[0]), `is missing or wrong (${issue.message})`);
  }
  const values = result.data;
  const tokens = strings(values['tokenizer.ggml.tokens'], 'tokenizer.ggml.tokens');
  const idOf = (key: 'bos' | 'eos' | 'eot' | 'eom' | 'unknown' | 'padding') => {
    const value = values[`tokenizer.ggml.${key}_token_id`] ?? null;
    if (value !== null && value >= tokens.length) {
      throw ggufError(`tokenizer.ggml.${key}_token_id`, `is ${value}, but there are ${tokens.length} tokens`);
    }
    return value;
  };
  const tokenTypes = numbers(values['tokenizer.ggml.token_type'], tokens.length, 'tokenizer.ggml.token_type');
  const scores = numbers(values['tokenizer.ggml.scores'], tokens.length, 'tokenizer.ggml.scores');
  return {
    model: values['tokenizer.ggml.model'],
    pre: values['tokenizer.ggml.pre'] ?? null,
    tokens,
    tokenTypes: tokenTypes ?? tokens.map(() => TOKEN_TYPE.normal),
    scores: scores === null ? null : Float32Array.from(scores),
    merges: values['tokenizer.ggml.merges'] ?? null,
    bosId: idOf('bos'),
    eosId: idOf('eos'),
    endIds: [idOf('eot'), idOf('eom')].filter((end) => end !== null),
    unknownId: idOf('unknown'),
    padId: idOf('padding'),
    addsBos: values['tokenizer.ggml.add_bos_token'] ?? null,
    addsEos: values['tokenizer.ggml.add_eos_token'] ?? null,
    addsSpacePrefix: values['tokenizer.ggml.add_space_prefix'] ?? null,
  };
}

/** An error that names the metadata key. */
export function ggufError(key: string, problem: string): FormatError {
  return new FormatError(
    `GGUF metadata: ${key} ${problem}; vocabularies of the models gpt2 (GPT-2, Llama 3, SmolLM, Qwen 2) and llama (SentencePiece) are read.`,
  );
}

function strings(values: ArrayLike<unknown>, key: string): string[] {
  return Array.from(values, (value, i) => {
    if (typeof value !== 'string') throw ggufError(`${key}[${i}]`, 'is no string');
    return value;
  });
}

function numbers(values: ArrayLike<unknown> | null | undefined, length: number, key: string): number[] | null {
  if (values === null || values === undefined) return null;
  if (values.length !== length) throw ggufError(key, `has ${values.length} values for ${length} tokens`);
  return Array.from(values, (value, i) => {
    if (typeof value !== 'number') throw ggufError(`${key}[${i}]`, 'is no number');
    return value;
  });
}
