/**
 * Prompts of requests that may have several, given as texts or tokens.
 */
import { checkTokenIds } from './sampling-request.ts';
import { promptIdsOf, type ThreadedModel } from './text-thread.ts';

export type Prompts = string | readonly number[] | readonly string[] | readonly (readonly number[])[];

/** Token lists of a text, a token list, or several of either. The event loop turns meanwhile, however many there are. */
export async function promptList(
  model: ThreadedModel,
  prompt: Prompts,
  param: string,
  signal: AbortSignal,
): Promise<(readonly number[])[]> {
  if (typeof prompt === 'string') return promptIdsOf(model, [{ text: prompt, param }], signal);
  const isOne = typeof prompt[0] === 'number';
  const all = (isOne ? [prompt] : prompt) as readonly (string | readonly number[])[];
  const nameOf = (i: number) => (isOne ? param : `${param}[${i}]`);
  const texts = all.flatMap((one, i) => (typeof one === 'string' ? [{ text: one, param: nameOf(i) }] : []));
  for (const [i, one] of all.entries()) if (typeof one !== 'string') checkTokenIds(one, nameOf(i), model.tokenizer);
  const encoded = (await promptIdsOf(model, texts, signal)).values();
  return all.map((one) => (typeof one === 'string' ? encoded.next().value! : one));
}
