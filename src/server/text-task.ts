/**
 * Work on texts of requests that takes seconds if they are long. Plain data in and out, so that it can be done by another thread.
 */
import type { ChatFormat } from '../tokenizer/chat-message.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { utf8Encode } from '../tokenizer/utf8.ts';
import { runAtOnce, type Sliced } from '../util/slices.ts';
import { shownTokens, type TokensRequest } from './inside-tokens.ts';
import { textPrompt } from './prompt.ts';
import { tokenized, type TokenizeRequest } from './tokenize-answer.ts';

/** What of a model is needed to read texts. */
export interface TextModel {
  readonly tokenizer: Tokenizer;
  readonly chatFormat: ChatFormat | null;
  readonly contextLength: number;
}

/** Tasks whose result is the JSON of an answer. */
export type AnswerTask =
  | { readonly kind: 'tokenize'; readonly body: TokenizeRequest }
  | { readonly kind: 'inside-tokens'; readonly body: TokensRequest };

/** Prompts of texts, each with the field it came from. */
export interface PromptsTask {
  readonly kind: 'prompts';
  readonly texts: readonly { readonly text: string; readonly param: string }[];
  /** Longer prompts end there; null: they are given whole. */
  readonly maxTokens: number | null;
}

export type TextTask = AnswerTask | PromptsTask;

/** The value to be written as JSON. */
export function answerOf(task: AnswerTask, model: TextModel): object {
  return task.kind === 'tokenize' ? tokenized(task.body, model) : shownTokens(task.body, model);
}

/** Ids of one prompt after the other. */
export function* promptsOf({ texts, maxTokens }: PromptsTask, { tokenizer }: TextModel): Sliced<number[][]> {
  const prompts: number[][] = [];
  for (const { text, param } of texts) {
    prompts.push(textPrompt(tokenizer, text, param).slice(0, maxTokens ?? Infinity));
    yield;
  }
  return prompts;
}

/** UTF-8 of an answer's JSON, or the ids of prompts. */
export function resultOf(task: TextTask, model: TextModel): Uint8Array[] | Uint32Array[] {
  if (task.kind !== 'prompts') return [utf8Encode(JSON.stringify(answerOf(task, model))).slice()];
  return runAtOnce(promptsOf(task, model)).map((ids) => Uint32Array.from(ids));
}
