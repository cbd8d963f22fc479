/**
 * Refuses prompts that are far longer than the context before they are made into one: turning megabytes into tokens at once would keep the
 * event loop, and with it every stream, for seconds. Short ones pass unseen; what is a little too long is refused with exact counts later.
 */
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { runInSlices, type Sliced } from '../util/slices.ts';
import { promptTooLong } from './api-error.ts';
import type { ServedModel } from './served-model.ts';

/** Characters that are tokenized in a few milliseconds. */
const SHORT_CHARS = 2 ** 16;
const PIECE_CHARS = 2 ** 13;
/** Where texts are cut apart to be counted the count may differ a little; a prompt of so many contexts is too long for certain. */
const CERTAIN_CONTEXTS = 2;

/** Throws a 400 if one of the prompts has more than twice the tokens of the context; each is a list of the texts it is made of. */
export async function refuseOverlong(
  { tokenizer, model }: Pick<ServedModel, 'tokenizer' | 'model'>,
  prompts: readonly (readonly string[])[],
  param: string,
): Promise<void> {
  const limit = CERTAIN_CONTEXTS * model.contextLength;
  for (const texts of prompts) {
    if (texts.reduce((sum, { length }) => sum + length, 0) <= SHORT_CHARS) continue;
    const count = await runInSlices(countUpTo(limit, tokenizer, texts));
    if (count > limit) throw promptTooLong(count, model.contextLength, param);
  }
}

/** All texts in a part of a request: messages, a prompt, several. */
export function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(textsIn);
}

function* countUpTo(limit: number, tokenizer: Pick<Tokenizer, 'encode'>, texts: readonly string[]): Sliced<number> {
  let count = 0;
  for (const text of texts) {
    for (let at = 0; at < text.length && count <= limit; at += PIECE_CHARS) {
      count += tokenizer.encode(text.slice(at, at + PIECE_CHARS)).length;
      yield;
    }
  }
  return count;
}
