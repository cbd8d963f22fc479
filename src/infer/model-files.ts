/**
 * What lies with a model's weights: where they are, the tokenizer, the chat format, the tokens that end a reply.
 */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Checkpoint } from '../formats/checkpoint.ts';
import type { ChatFormat } from '../tokenizer/chat-message.ts';
import { END_OF_MESSAGE } from '../tokenizer/special-tokens.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { FormatError } from '../util/errors.ts';

/** Where a model lies: a folder, a .gguf file, the newest checkpoint of a training run, or a Hugging Face id that was pulled. */
export async function modelPath(name: string, env: Readonly<Record<string, string | undefined>>): Promise<string> {
  const checkpoints = join(name, 'checkpoints');
  if (existsSync(checkpoints)) return newestStep(name, checkpoints);
  const { findModel } = await import('../formats/find-model.ts');
  return findModel(name, env);
}

/** The newest checkpoint of a training run. */
async function newestStep(run: string, checkpoints: string): Promise<string> {
  const names = await readdir(checkpoints);
  const steps = names.flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  if (steps.length > 0) return join(checkpoints, `step-${Math.max(...steps)}`);
  throw new FormatError(`${run}: is a training run without a checkpoint yet; wait for the first one`);
}

/** The tokenizer that lies with the weights; throws FormatError if there is none. */
export async function requireTokenizer(checkpoint: Checkpoint): Promise<Tokenizer> {
  const { checkpointTokenizer } = await import('../formats/convert-tokenizer.ts');
  const tokenizer = await checkpointTokenizer(checkpoint);
  if (tokenizer !== null) return tokenizer;
  throw new FormatError(`${checkpoint.path}: has no tokenizer; put its files beside the weights`);
}

/** How the checkpoint says that conversations are written; null if it does not say. Throws FormatError for a template that does not parse. */
export async function checkpointChatFormat(checkpoint: Checkpoint, tokenizer: Tokenizer): Promise<ChatFormat | null> {
  const [{ chatTemplateOf }, { templateChatFormat }] = await Promise.all([
    import('../formats/convert-tokenizer.ts'),
    import('../tokenizer/chat-template.ts'),
  ]);
  const template = await chatTemplateOf(checkpoint);
  try {
    return template === null ? null : templateChatFormat(tokenizer, template);
  } catch (cause) {
    if (cause instanceof FormatError) throw new FormatError(`${checkpoint.path}: ${cause.message}`, { cause });
    throw cause;
  }
}

/** Llama 3's own chat format, for a checkpoint that does not say that it knows one: of 3.1 if the vocabulary has its tokens. */
export async function assumedChatFormat(tokenizer: Tokenizer): Promise<ChatFormat> {
  const { llama3ChatFormat } = await import('../tokenizer/chat-llama3.ts');
  return llama3ChatFormat(tokenizer, tokenizer.idOf(END_OF_MESSAGE) === null ? 'llama3' : 'llama3.1');
}

/** Tokens after which a reply ends, as tokenizer or checkpoint say. */
export function replyStopIds({ tokenIds }: Pick<Checkpoint, 'tokenIds'>, tokenizer: Tokenizer): number[] {
  return [...new Set([...tokenizer.stopIds, ...tokenIds.eosIds])];
}
