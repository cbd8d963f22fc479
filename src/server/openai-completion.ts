/**
 * /v1/completions: prompts of text or tokens as replies of the engine, and replies as OpenAI's text_completion objects.
 */
import { randomBytes } from 'node:crypto';
import type { Generation, GenerationResult } from '../infer/generation.ts';
import type { TokenLogprobs } from '../infer/token-logprobs.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { invalidField } from './api-error.ts';
import { mergeReplies } from './merge-replies.ts';
import type { Lease } from './model-registry.ts';
import type { CompletionRequest } from './openai-completion-schema.ts';
import { completionLogprobs, withTop } from './openai-logprobs.ts';
import { promptLogprobs, usageOf } from './openai-usage.ts';
import { promptList } from './prompt-list.ts';
import { fieldConstraint } from './reply-constraint.ts';
import { type ReplyItem, replyPieces, type WholeReply, wholeReply } from './reply-pieces.ts';
import { startReplies } from './replies.ts';
import { samplingRequest } from './sampling-request.ts';
import type { RequestScope, ServerContext } from './server-context.ts';

const DEFAULT_MAX_TOKENS = 16; // OpenAI's

/** Starts the replies a completion request asks for; takes over the lease. */
export async function startCompletion(
  context: ServerContext,
  scope: RequestScope,
  lease: Lease,
  request: CompletionRequest,
): Promise<CompletionReplies> {
  const { model, entry } = lease;
  try {
    const { n = 1, best_of: bestOf = n } = request;
    checkFields(request, n, bestOf);
    const prompts = await promptList(model, request.prompt, 'prompt', scope.signal);
    const plans = prompts.map((promptIds) => ({ promptIds, numReplies: bestOf, param: 'prompt' }));
    const wantsLogprobs = request.logprobs !== undefined;
    const options = samplingRequest(request, request.max_tokens ?? DEFAULT_MAX_TOKENS, model);
    const replies = startReplies(context, scope, lease, plans, {
      ...options,
      constraint: fieldConstraint(request, model.tokenizer),
      // Choosing the best of several needs the probability of each.
      logprobs: request.logprobs ?? (bestOf > n ? 0 : null),
      ...(wantsLogprobs && request.echo
        ? { promptLogprobs: Math.max(request.logprobs!, request.prompt_logprobs ?? 0) }
        : {}),
    });
    return new CompletionReplies(request, replies, prompts, lease, {
      id: `cmpl-${randomBytes(12).toString('hex')}`,
      object: 'text_completion',
      created: Math.floor(Date.now() / 1000),
      model: entry.id,
      system_fingerprint: 'fp_cria',
    });
  } catch (error) {
    lease.release();
    throw error;
  }
}

/** Throws a 400 for fields that contradict each other. */
function checkFields({ stream, echo, logprobs }: CompletionRequest, n: number, bestOf: number): void {
  if (bestOf < n) throw invalidField('best_of', `best_of: must be at least n, which is ${n}`);
  if (stream && bestOf > n) {
    throw invalidField('best_of', 'best_of: cannot be streamed, as the best is known at the end; leave out stream');
  }
  if (stream && echo && logprobs !== undefined) {
    throw invalidField('echo', 'echo: with logprobs, it comes with the whole reply only; leave out stream');
  }
}

interface Frame {
  readonly id: string;
  readonly object: string;
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
}

/** The replies of one completion request on their way. */
export class CompletionReplies {
  readonly #request: CompletionRequest;
  readonly #prompts: readonly (readonly number[])[];
  readonly #lease: Lease;
  readonly #frame: Frame;
  readonly #items: AsyncGenerator<ReplyItem>[];

  constructor(
    request: CompletionRequest,
    replies: readonly Generation[],
    prompts: readonly (readonly number[])[],
    lease: Lease,
    frame: Frame,
  ) {
    this.#request = request;
    this.#prompts = prompts;
    this.#lease = lease;
    this.#frame = frame;
    this.#items = replies.map((reply) => replyPieces(reply, lease.model.tokenizer, null));
  }

  /** The whole text_completion object. */
  async whole(): Promise<object> {
    const replies = await Promise.all(this.#items.map(wholeReply));
    const { n = 1, best_of: bestOf = n } = this.#request;
    const chosen = this.#prompts.flatMap((_, i) => best(replies.slice(i * bestOf, (i + 1) * bestOf), n));
    return {
      ...this.#frame,
      choices: chosen.map((reply, index) => this.#choice(reply, index)),
      usage: usageOf(
        replies.map(({ result }) => result),
        bestOf,
      ),
    };
  }

  /** text_completion objects, one or more a token. */
  async *chunks(): AsyncGenerator<object> {
    const { n = 1, echo, stream_options: options } = this.#request;
    const results: GenerationResult[] = [];
    const offsets = this.#items.map(() => 0);
    const usage = options?.include_usage ? { usage: null } : {};
    const chunk = (
      index: number,
      text: string,
      tokens: readonly TokenLogprobs[],
      finishReason: string | null,
    ): object => {
      const logprobs =
        this.#request.logprobs === undefined ? null : completionLogprobs(this.#tokenizer, tokens, offsets[index]!);
      offsets[index]! += text.length;
      return { ...this.#frame, choices: [{ index, text, logprobs, finish_reason: finishReason }], ...usage };
    };
    if (echo)
      for (const index of this.#items.keys()) yield chunk(index, this.#promptText(Math.floor(index / n)), [], null);
    for await (const { index, item } of mergeReplies(this.#items)) {
      if (item.kind === 'end') {
        results[index] = item.result;
        yield chunk(index, '', item.result.stopLogprobs ? [item.result.stopLogprobs] : [], item.finishReason);
      } else if (item.text !== '' || item.token !== null) {
        yield chunk(index, item.text, item.token === null ? [] : [item.token], null);
      }
    }
    if (options?.include_usage) yield { ...this.#frame, choices: [], usage: usageOf(results, n) };
  }

  get #tokenizer(): Tokenizer {
    return this.#lease.model.tokenizer;
  }

  #promptText(index: number): string {
    const { prompt } = this.#request;
    if (typeof prompt === 'string') return prompt;
    const given = typeof prompt[0] === 'number' ? prompt : prompt[index]!;
    return typeof given === 'string'
      ? given
      : this.#tokenizer.decode(given as readonly number[], { skipSpecial: true }); // as in replies
  }

  #choice({ text, tokens, finishReason, result }: WholeReply, index: number): object {
    const { echo, logprobs, n = 1 } = this.#request;
    const ending = result.stopLogprobs ? [result.stopLogprobs] : [];
    const echoed = echo ? withTop(result.promptLogprobs ?? [], logprobs ?? 0) : [];
    return {
      index,
      text: echo ? this.#promptText(Math.floor(index / n)) + text : text,
      logprobs:
        logprobs === undefined ? null : completionLogprobs(this.#tokenizer, [...echoed, ...tokens, ...ending], 0),
      finish_reason: finishReason,
      ...promptLogprobs(this.#tokenizer, this.#request, result),
    };
  }
}

/** The `count` replies with the highest mean log-probability per token (OpenAI's best_of), the first of equals. */
function best(replies: readonly WholeReply[], count: number): WholeReply[] {
  if (replies.length === count) return [...replies];
  return replies.toSorted((a, b) => meanLogprob(b) - meanLogprob(a)).slice(0, count);
}

function meanLogprob({ tokens }: WholeReply): number {
  return tokens.reduce((sum, { logprob }) => sum + logprob!, 0) / Math.max(1, tokens.length);
}
