/**
 * The JSON of Hugging Face's tokenizer files as far as it is read here; `model.vocab` and `model.merges` are checked where they are read,
 * because a schema over hundreds of thousands of entries would cost more than the loading.
 */
import { z } from 'zod';
import { FormatError } from '../util/errors.ts';

const addedToken = z.object({
  id: z.number().int().nonnegative(),
  content: z.string().min(1),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().default(true),
  special: z.boolean().default(false),
});

/** A part with a `type` that says what else it holds. */
const typed = z.looseObject({ type: z.string() });
export type TypedJson = z.infer<typeof typed>;

const tokenizerJson = z.object({
  added_tokens: z.array(addedToken).default([]),
  normalizer: typed.nullish(),
  pre_tokenizer: typed.nullish(),
  post_processor: typed.nullish(),
  decoder: typed.nullish(),
  model: z.object({
    type: z.string().default('BPE'), // very old files do not say
    dropout: z.number().nullish(),
    unk_token: z.string().nullish(),
    continuing_subword_prefix: z.string().nullish(),
    end_of_word_suffix: z.string().nullish(),
    fuse_unk: z.boolean().default(false),
    byte_fallback: z.boolean().default(false),
    ignore_merges: z.boolean().default(false),
    vocab: z.custom<Record<string, unknown>>(
      (value) => typeof value === 'object' && value !== null,
      'expected an object',
    ),
    merges: z.custom<readonly unknown[]>((value) => Array.isArray(value), 'expected an array'),
  }),
});
export type HfTokenizerJson = z.infer<typeof tokenizerJson>;

const tokenName = z
  .union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)])
  .nullish();

const namesJson = z.object({
  bos_token: tokenName,
  eos_token: tokenName,
  pad_token: tokenName,
  add_bos_token: z.boolean().nullish(),
  add_eos_token: z.boolean().nullish(),
  tokenizer_class: z.string().nullish(),
});
/** What `tokenizer_config.json` and `special_tokens_map.json` say about special tokens. */
export type HfTokenNames = z.infer<typeof namesJson>;

const tokenId = z.number().int().nonnegative();
const endsJson = z.object({ eos_token_id: z.union([tokenId.transform((id) => [id]), z.array(tokenId)]).nullish() });

/** Parsed and checked `tokenizer.json`. */
export function parseTokenizerJson(text: string): HfTokenizerJson {
  return parse(tokenizerJson, text, 'tokenizer.json');
}

/** Parsed and checked `tokenizer_config.json` or `special_tokens_map.json`. */
export function parseTokenNames(text: string, fileName: string): HfTokenNames {
  return parse(namesJson, text, fileName);
}

/** `eos_token_id` of generation_config.json, which may be one id or several. */
export function parseEosTokenIds(text: string, fileName: string): number[] {
  return parse(endsJson, text, fileName).eos_token_id ?? [];
}

/** An error that names the place in tokenizer.json. */
export function unsupported(path: string, problem: string): FormatError {
  return new FormatError(
    `tokenizer.json: ${path} ${problem}; only byte-level BPE (GPT-2, Llama 3) and Llama 2's BPE with byte fallback are read.`,
  );
}

/** A part of tokenizer.json checked against a schema of its own. */
export function checkPart<T extends z.ZodType>(schema: T, value: unknown, path: string): z.infer<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw issueError(result.error, 'tokenizer.json', path);
}

function parse<T extends z.ZodType>(schema: T, text: string, fileName: string): z.infer<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${fileName} is not JSON; download it again.`, { cause });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw issueError(result.error, fileName, '');
}

function issueError(error: z.ZodError, fileName: string, path: string): FormatError {
  const issue = error.issues[0]!;
  const place = [path, ...issue.path.map(String)].filter((part) => part !== '').join('.');
  return new FormatError(`${fileName}: ${place || 'the file'} is wrong (${issue.message}); download the file again.`);
}
