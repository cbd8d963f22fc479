/**
 * Asks the model for replies: sends a message, answers it again, stops. Models that were not trained on conversations continue the text.
 */
import { signal } from '@preact/signals';
import { countTokens, textTokens } from '../api/inside.ts';
import { messageOf } from '../api/http.ts';
import { chosenModel, modelInfo, type ModelInfo } from '../api/models.ts';
import { type ReplyEnd, streamReply } from '../api/reply.ts';
import { goTo, route } from '../route.ts';
import { conversations, save, show } from './chat-state.ts';
import {
  branches,
  type Conversation,
  type Message,
  pathTo,
  type Reply,
  type Sampling,
  withChange,
  withMessage,
} from './conversation.ts';

/** Replies that are being written, by conversation. */
export const running = signal<ReadonlyMap<string, AbortController>>(new Map());

/** What a screen reader is told: that a reply began, and the reply once it is whole. */
export const spoken = signal('');

/** Adds a person's message after `parentId` and asks for a reply. */
export function sendMessage(conversation: Conversation, parentId: string | null, text: string): void {
  const message: Message = { id: crypto.randomUUID(), parentId, role: 'user', text, reply: null };
  save(withMessage(conversation, message, Date.now()));
  if (route.value.item !== conversation.id) goTo('chat', conversation.id);
  void answer(conversation.id, message.id);
}

/** Asks for another reply to the message that `reply` answers. */
export function answerAgain(conversation: Conversation, reply: Message): void {
  if (reply.parentId !== null) void answer(conversation.id, reply.parentId);
}

/** Lets a model that continues texts go on where its last reply ended. */
export function goOn(conversation: Conversation, reply: Message): void {
  void answer(conversation.id, reply.id);
}

/** Stops the reply of a conversation; what is there of it stays. */
export function stopReply(conversationId: string): void {
  running.value.get(conversationId)?.abort();
}

async function answer(conversationId: string, messageId: string): Promise<void> {
  const model = chosenModel.value;
  const conversation = conversations.value.get(conversationId);
  if (model === null || !conversation || running.value.has(conversationId)) return;
  const reply = newReply(model, seedFor(conversation.sampling, branches(conversation, messageId).length));
  const message: Message = { id: crypto.randomUUID(), parentId: messageId, role: 'assistant', text: '', reply };
  const writing = new Writing(conversationId, message.id, reply);
  const controller = new AbortController();
  running.value = new Map(running.value).set(conversationId, controller);
  save(withMessage(conversation, message, Date.now()));
  spoken.value = 'The model is replying.';
  try {
    writing.finish(await ask(conversation, pathTo(conversation, messageId), writing, controller.signal));
  } catch (error) {
    writing.finish(controller.signal.aborted ? { finish: 'stopped' } : { finish: 'error', error: messageOf(error) });
  } finally {
    const rest = new Map(running.value);
    rest.delete(conversationId);
    running.value = rest;
  }
}

function newReply(model: string, seed: number): Reply {
  const unknown = { error: null, promptTokens: null, tokens: null, tokensPerSecond: null, firstMs: null };
  return { ...unknown, model, seed, isContinuation: false, finish: 'running' };
}

const MAX_SEED = 2 ** 31;

/** A seed that is given holds for the first reply; asking again counts on from it, or the reply would be the same. */
function seedFor({ seed }: Sampling, numEarlier: number): number {
  if (seed !== null) return seed + numEarlier;
  return crypto.getRandomValues(new Uint32Array(1))[0]! % MAX_SEED;
}

const KEEP_EVERY_MS = 2000; // what a page that is closed loses at most

// Showing a reply costs the model time where both share a processor: every frame would halve its speed on two cores.
const SHOW_EVERY_MS = 100;

/** Writes a reply into its conversation as it comes. */
class Writing {
  reply: Reply;
  readonly #conversationId: string;
  readonly #messageId: string;
  #text = '';
  #keptAt = performance.now();
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(conversationId: string, messageId: string, reply: Reply) {
    this.#conversationId = conversationId;
    this.#messageId = messageId;
    this.reply = reply;
  }

  append(text: string): void {
    const delayMs = this.#text === '' ? 0 : SHOW_EVERY_MS;
    this.#text += text;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      const changed = this.#changed();
      if (!changed) return;
      const isTimeToKeep = performance.now() - this.#keptAt > KEEP_EVERY_MS;
      if (isTimeToKeep) this.#keptAt = performance.now();
      (isTimeToKeep ? save : show)(changed);
    }, delayMs);
  }

  finish(end: Partial<Reply>): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.reply = { ...this.reply, ...end };
    const changed = this.#changed();
    if (changed) save(changed);
    spoken.value = this.reply.error ?? (this.#text === '' ? 'The model said nothing.' : `Reply: ${this.#text}`);
  }

  #changed(): Conversation | null {
    const conversation = conversations.value.get(this.#conversationId); // null if it was deleted meanwhile
    return conversation ? withChange(conversation, this.#messageId, { text: this.#text, reply: this.reply }) : null;
  }
}

async function ask(
  conversation: Conversation,
  path: readonly Message[],
  writing: Writing,
  aborted: AbortSignal,
): Promise<ReplyEnd> {
  const { model, seed } = writing.reply;
  const info = await unlessAborted(modelInfo(model), aborted);
  writing.reply = { ...writing.reply, isContinuation: !info.is_chat };
  const { sampling } = conversation;
  const shared = { model, seed, ...samplingFields(sampling) };
  const listener = {
    onText: (text: string) => writing.append(text),
    signal: aborted,
    conversationId: conversation.id,
  };
  if (info.is_chat) {
    const system = conversation.system.trim() === '' ? [] : [{ role: 'system', content: conversation.system }];
    const messages = [...system, ...path.map(({ role, text }) => ({ role, content: text }))];
    const limit = await replyLimit(model, messages, sampling, aborted);
    return streamReply('/v1/chat/completions', { ...shared, ...limit, messages }, listener);
  }
  const prompt = await continuation(model, path, info, sampling);
  return streamReply('/v1/completions', { ...shared, ...prompt }, listener);
}

const DEFAULT_REPLY = 2048; // tokens; a small model that repeats itself would go on until the context is full

/** Most tokens of a reply: as many as are wanted, or as the context has room for. One without room is refused with the counts. */
async function replyLimit(model: string, messages: readonly object[], { maxTokens }: Sampling, aborted: AbortSignal) {
  const { count, max_model_len: context } = await countTokens({ model, messages }, aborted);
  const most = Math.min(maxTokens ?? DEFAULT_REPLY, context - count);
  return most > 0 ? { max_tokens: most } : {};
}

/** Does not wait for a model that is still loading when the reader has stopped waiting. */
function unlessAborted<T>(promise: Promise<T>, aborted: AbortSignal): Promise<T> {
  const stop = new Promise<never>((_, reject) => {
    aborted.addEventListener('abort', () => reject(aborted.reason));
  });
  return Promise.race([promise, stop]);
}

const DEFAULT_CONTINUATION = 256; // tokens; such a model would go on until the context is full

/** The text so far as tokens, its beginning left out where the context cannot hold it and the reply. */
async function continuation(model: string, path: readonly Message[], info: ModelInfo, { maxTokens }: Sampling) {
  const text = path.reduce((sum, next) => sum + (next.role === 'user' && /\S$/.test(sum) ? '\n' : '') + next.text, '');
  const { tokens } = await textTokens({ model, text, special: false, bos: info.adds_bos });
  const most = Math.max(1, Math.min(maxTokens ?? DEFAULT_CONTINUATION, Math.floor(info.context_length / 2)));
  const prompt = tokens.slice(-(info.context_length - most)).map(({ id }) => id);
  return { prompt, max_tokens: most };
}

/** Only what differs from doing nothing is sent. */
function samplingFields({ temperature, topP, topK, minP, repetitionPenalty }: Sampling): object {
  return {
    temperature,
    ...(topP < 1 && { top_p: topP }),
    ...(topK !== null && { top_k: topK }),
    ...(minP > 0 && { min_p: minP }),
    ...(repetitionPenalty !== 1 && { repetition_penalty: repetitionPenalty }),
  };
}
