/**
 * Starts the replies of a request on a model: checks that they fit, takes room for them, counts them, and gives everything back when they
 * are over, however they end.
 */
import type { Generation } from '../infer/generation.ts';
import type { GenerationRequest } from '../infer/request.ts';
import { contextLengthExceeded } from './api-error.ts';
import type { Lease } from './model-registry.ts';
import type { RequestScope, ServerContext } from './server-context.ts';

/** One prompt and how many replies it is to get. */
export interface PromptPlan {
  readonly promptIds: readonly number[];
  readonly numReplies: number;
  /** The field of the request the prompt came from. */
  readonly param: string;
}

/** Everything about the replies but the prompt. */
export type ReplyOptions = Omit<GenerationRequest, 'promptIds' | 'signal'>;

/** The replies of all prompts, in order. Takes over the lease: it is released when the last of them is over. */
export function startReplies(
  context: ServerContext,
  scope: RequestScope,
  lease: Lease,
  prompts: readonly PromptPlan[],
  options: ReplyOptions,
): Generation[] {
  try {
    for (const plan of prompts) checkFits(plan, options.maxTokens ?? null, lease.model.model.contextLength);
    const leave = lease.admission.enter(prompts.reduce((sum, { numReplies }) => sum + numReplies, 0));
    const replies = startAll(scope, lease, prompts, options, leave);
    void Promise.all(replies.map((reply) => settle(context, scope, lease, reply))).then(() => {
      leave();
      lease.release();
    });
    return replies;
  } catch (error) {
    scope.abort(error as Error); // replies already started
    lease.release();
    throw error;
  }
}

function startAll(
  { signal }: RequestScope,
  { model: { engine } }: Lease,
  prompts: readonly PromptPlan[],
  options: ReplyOptions,
  onFailure: () => void,
): Generation[] {
  try {
    return prompts.flatMap(({ promptIds, numReplies }) => {
      const request = { ...options, promptIds, signal };
      return numReplies === 1 ? [engine.generate(request)] : engine.generateMany(request, numReplies);
    });
  } catch (error) {
    onFailure();
    throw error;
  }
}

function checkFits({ promptIds, param }: PromptPlan, maxTokens: number | null, contextLength: number): void {
  if (promptIds.length + (maxTokens ?? 1) <= contextLength) return;
  throw contextLengthExceeded(promptIds.length, maxTokens, contextLength, param);
}

async function settle(context: ServerContext, scope: RequestScope, { entry }: Lease, reply: Generation): Promise<void> {
  try {
    const result = await reply.result;
    context.metrics.countReply(entry.id, result, performance.now() - scope.startedAt);
    const { notes } = scope;
    notes['promptTokens'] = result.promptTokens;
    notes['cachedTokens'] = result.cachedTokens;
    notes['replyTokens'] = ((notes['replyTokens'] as number | undefined) ?? 0) + result.ids.length;
    notes['firstTokenMs'] = Math.round(performance.now() - scope.startedAt - result.timings.decodeMs);
    if (context.settings.logsText) notes['text'] = result.text;
  } catch {
    context.metrics.countLostReply(entry.id, scope.signal.aborted ? 'cancelled' : 'error');
  }
}
