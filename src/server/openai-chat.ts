/**
 * /v1/chat/completions: a request as replies of the engine, and replies as OpenAI's objects, whole or chunk by chunk.
 */
import { randomBytes } from 'node:crypto';
import type { Generation } from '../infer/generation.ts';
import { invalidField } from './api-error.ts';
import { mergeReplies } from './merge-replies.ts';
import type { Lease } from './model-registry.ts';
import type { ChatRequest } from './openai-chat-schema.ts';
import { chatLogprob } from './openai-logprobs.ts';
import { chatMessages, toolDefinitions } from './openai-messages.ts';
import { promptLogprobs, usageOf } from './openai-usage.ts';
import { chatPrompt } from './prompt.ts';
import { chatConstraint } from './reply-constraint.ts';
import {
  type CallEvent,
  type ReplyEnd,
  type ReplyItem,
  replyPieces,
  type WholeReply,
  wholeReply,
} from './reply-pieces.ts';
import { startReplies } from './replies.ts';
import { samplingRequest } from './sampling-request.ts';
import type { RequestScope, ServerContext } from './server-context.ts';

/** A model without a chat format never ends by itself: it would fill the context. */
const DEFAULT_CONTINUATION_TOKENS = 256;

/** What all objects of one completion say. */
interface Frame {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

/** Starts the replies a chat request asks for; takes over the lease. */
export function startChat(
  context: ServerContext,
  scope: RequestScope,
  lease: Lease,
  request: ChatRequest,
): ChatReplies {
  const { model, entry } = lease;
  try {
    if (request.top_logprobs !== undefined && !request.logprobs) {
      throw invalidField('top_logprobs', 'top_logprobs: needs logprobs to be true; set it, or leave this out');
    }
    const callsTools = (request.tools?.length ?? 0) > 0 && request.tool_choice !== 'none';
    const tools = callsTools ? request.tools! : [];
    const promptIds = chatPrompt(model, chatMessages(request.messages), toolDefinitions(tools));
    const numReplies = request.n ?? 1;
    const replies = startReplies(context, scope, lease, [{ promptIds, numReplies, param: 'messages' }], {
      ...samplingRequest(request, maxTokensOf(request, lease, promptIds.length), model),
      constraint: chatConstraint(request, model.tokenizer),
      logprobs: request.logprobs ? (request.top_logprobs ?? 0) : null,
    });
    const toolNames = callsTools ? tools.map((tool) => tool.function.name) : null;
    return new ChatReplies(request, replies, lease, toolNames, {
      id: `chatcmpl-${randomBytes(12).toString('hex')}`,
      created: Math.floor(Date.now() / 1000),
      model: entry.id,
    });
  } catch (error) {
    lease.release();
    throw error;
  }
}

function maxTokensOf(request: ChatRequest, { model }: Lease, promptLength: number): number | null {
  const given = request.max_completion_tokens ?? request.max_tokens;
  if (given !== undefined || model.chatFormat !== null) return given ?? null;
  const room = model.model.contextLength - promptLength;
  return room > DEFAULT_CONTINUATION_TOKENS ? DEFAULT_CONTINUATION_TOKENS : null;
}

/** The replies of one chat request on their way. */
export class ChatReplies {
  readonly #request: ChatRequest;
  readonly #frame: Frame;
  readonly #lease: Lease;
  readonly #items: AsyncGenerator<ReplyItem>[];

  constructor(
    request: ChatRequest,
    replies: readonly Generation[],
    lease: Lease,
    toolNames: readonly string[] | null,
    frame: Frame,
  ) {
    this.#request = request;
    this.#frame = frame;
    this.#lease = lease;
    this.#items = replies.map((reply) => replyPieces(reply, lease.model.tokenizer, toolNames));
  }

  /** The whole chat.completion object. */
  async whole(): Promise<object> {
    const replies = await Promise.all(this.#items.map(wholeReply));
    const results = replies.map(({ result }) => result);
    return {
      ...this.#frame,
      object: 'chat.completion',
      choices: replies.map((reply, index) => this.#choice(reply, index)),
      usage: usageOf(results),
      system_fingerprint: FINGERPRINT,
      ...promptLogprobs(this.#lease.model.tokenizer, this.#request, results[0]!),
    };
  }

  /** chat.completion.chunk objects: the role first, the finish reason once, usage last if it was asked for. */
  async *chunks(): AsyncGenerator<object> {
    const { n = 1, stream_options: options } = this.#request;
    const ends: ReplyEnd[] = [];
    for (let index = 0; index < n; index++) yield this.#chunk(index, { role: 'assistant', content: '' });
    for await (const { index, item } of mergeReplies(this.#items)) {
      if (item.kind === 'end') {
        ends.push(item);
        yield this.#chunk(index, {}, item.finishReason);
        continue;
      }
      if (item.text !== '' || item.token !== null) {
        const logprobs =
          item.token === null
            ? null
            : { content: [chatLogprob(this.#lease.model.tokenizer, item.token)], refusal: null };
        yield this.#chunk(index, { content: item.text }, null, logprobs);
      }
      for (const call of item.calls) yield this.#chunk(index, { tool_calls: [callDelta(call)] });
    }
    if (options?.include_usage) {
      yield { ...this.#chunkFrame(), choices: [], usage: usageOf(ends.map(({ result }) => result)) };
    }
  }

  #choice({ text, calls, tokens, finishReason }: WholeReply, index: number): object {
    const { tokenizer } = this.#lease.model;
    const toolCalls = calls.map(({ name, argumentsJson }) => ({
      id: newCallId(),
      type: 'function',
      function: { name, arguments: argumentsJson },
    }));
    return {
      index,
      message: {
        role: 'assistant',
        content: text === '' && toolCalls.length > 0 ? null : text,
        refusal: null,
        ...(toolCalls.length > 0 ? { tool_calls: toolCalls } : {}),
      },
      logprobs: this.#request.logprobs
        ? { content: tokens.map((token) => chatLogprob(tokenizer, token)), refusal: null }
        : null,
      finish_reason: finishReason,
    };
  }

  #chunk(index: number, delta: object, finishReason: string | null = null, logprobs: object | null = null): object {
    const usage = this.#request.stream_options?.include_usage ? { usage: null } : {};
    return { ...this.#chunkFrame(), choices: [{ index, delta, logprobs, finish_reason: finishReason }], ...usage };
  }

  #chunkFrame(): object {
    return { ...this.#frame, object: 'chat.completion.chunk', system_fingerprint: FINGERPRINT };
  }
}

/** Replies to a seed change only with the program, which its version tells. */
const FINGERPRINT = 'fp_cria';

function newCallId(): string {
  return `call_${randomBytes(12).toString('hex')}`;
}

function callDelta(event: CallEvent): object {
  const { index } = event;
  if (event.kind === 'arguments') return { index, function: { arguments: event.fragment } };
  return { index, id: newCallId(), type: 'function', function: { name: event.name, arguments: '' } };
}
