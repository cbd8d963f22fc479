/**
 * The server's routes for looking into a model, typed.
 */
import { requestJson } from './http.ts';

export interface ShownToken {
  readonly id: number;
  readonly bytes: readonly number[];
  readonly special: boolean;
}

/** With its part of the text, in UTF-16 units. */
export interface PlacedToken extends ShownToken {
  readonly start: number;
  readonly end: number;
}

export interface ShownMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface MergedPiece {
  readonly text: string;
  readonly symbols: readonly ShownToken[];
  readonly steps: readonly { readonly at: number; readonly rank: number; readonly tokens: readonly ShownToken[] }[];
  readonly tokens: readonly ShownToken[];
}

export interface NextTokens {
  readonly prompt_tokens: number;
  readonly entropy_bits: number;
  readonly candidates: readonly (ShownToken & { readonly probability: number })[];
}

/** Row i holds the shares that token i gives to the tokens 0 to i. */
export interface AttentionPattern {
  readonly tokens: readonly ShownToken[];
  readonly rows: readonly (readonly number[])[];
}

const ask = <T>(name: string, body: object, signal?: AbortSignal) =>
  requestJson<T>(`/inside/${name}`, { body, ...(signal && { signal }) });

export const textTokens = (
  body: { model: string; text: string; special: boolean; bos: boolean },
  signal?: AbortSignal,
) => ask<{ tokens: PlacedToken[] }>('tokens', body, signal);

export const chatTokens = (
  body: { model: string; messages: readonly ShownMessage[]; generation_prompt: boolean },
  signal?: AbortSignal,
) => ask<{ tokens: ShownToken[]; rendered: string }>('tokens', body, signal);

export const wordMerges = (body: { model: string; text: string }, signal?: AbortSignal) =>
  ask<{ pieces: MergedPiece[] }>('merges', body, signal);

export const nextTokens = (body: { model: string; text: string; count: number }, signal?: AbortSignal) =>
  ask<NextTokens>('next', body, signal);

export const attentionPattern = (
  body: { model: string; text: string; layer: number; head: number },
  signal?: AbortSignal,
) => ask<AttentionPattern>('attention', body, signal);

/** Tokens of a conversation with the beginning of its reply, and how many the model can take. */
export const countTokens = (body: { model: string; messages: readonly object[] }, signal?: AbortSignal) =>
  requestJson<{ count: number; max_model_len: number }>('/tokenize', { body, ...(signal && { signal }) });
