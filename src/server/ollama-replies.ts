/**
 * /api/chat and /api/generate: requests as replies of the engine, and replies as Ollama's objects with their durations in nanoseconds.
 */
import type { TokenLogprobs } from '../infer/token-logprobs.ts';
import type { ChatMessage, ToolDefinition } from '../tokenizer/chat-message.ts';
import { toolConstraint } from '../constrain/tool-constraint.ts';
import { invalidField } from './api-error.ts';
import type { Lease } from './model-registry.ts';
import type { GenerateRequest, OllamaChatRequest, OllamaMessage, OllamaOptions } from './ollama-schema.ts';
import { chatLogprob } from './openai-logprobs.ts';
import { chatPrompt, textPrompt } from './prompt.ts';
import { constraintVocabulary } from './constraint-vocabulary.ts';
import { formatConstraint } from './reply-constraint.ts';
import { type ReplyEnd, type ReplyItem, replyPieces, type WholeCall } from './reply-pieces.ts';
import { type ReplyOptions, startReplies } from './replies.ts';
import { seedOf } from './sampling-request.ts';
import type { RequestScope, ServerContext } from './server-context.ts';

// Ollama's defaults (docs/modelfile.md); its repeat_penalty of 1.1 looks at the last 64 tokens, ours at all of them, so ours is off.
const DEFAULTS = { temperature: 0.8, topK: 40, topP: 0.9, repetitionPenalty: 1 };

type OllamaRequest = GenerateRequest | OllamaChatRequest;

/** What of a reply the chunks of a route carry. */
interface Shape {
  /** Member with a piece of text, and calls made. */
  readonly part: (text: string, calls: readonly object[]) => object;
  /** What only the last chunk has. */
  readonly last: (end: ReplyEnd) => object;
}

const CHAT: Shape = {
  part: (content, calls) => ({
    message: { role: 'assistant', content, ...(calls.length > 0 ? { tool_calls: calls } : {}) },
  }),
  last: () => ({}),
};

/** Chunks of an answer to a conversation; takes over the lease. */
export function chatChunks(
  context: ServerContext,
  scope: RequestScope,
  lease: Lease,
  request: OllamaChatRequest,
): AsyncGenerator<object> {
  const tools = request.tools ?? [];
  return start(context, scope, lease, request, {
    prompt: () => chatPrompt(lease.model, request.messages.flatMap(messagesOf), tools as readonly ToolDefinition[]),
    param: 'messages',
    toolNames: tools.length > 0 ? tools.map((tool) => tool.function.name) : null,
    shape: CHAT,
  });
}

/** Chunks of the continuation of a prompt; takes over the lease. */
export function generateChunks(
  context: ServerContext,
  scope: RequestScope,
  lease: Lease,
  request: GenerateRequest,
): AsyncGenerator<object> {
  let promptIds: number[] = [];
  return start(context, scope, lease, request, {
    prompt: () => (promptIds = generatePrompt(lease, request)),
    param: 'prompt',
    toolNames: null,
    shape: { part: (response) => ({ response }), last: ({ result }) => ({ context: [...promptIds, ...result.ids] }) },
  });
}

function generatePrompt({ model }: Lease, { prompt = '', system, raw }: GenerateRequest): number[] {
  if (raw || model.chatFormat === null) {
    if (raw) return model.tokenizer.encode(prompt, { bos: model.tokenizer.roles.addsBos, allowSpecial: true });
    return textPrompt(model.tokenizer, prompt);
  }
  const messages: ChatMessage[] = [
    ...(system === undefined ? [] : [{ role: 'system' as const, content: system }]),
    { role: 'user', content: prompt },
  ];
  return chatPrompt(model, messages, []);
}

function messagesOf({ role, content, tool_calls: calls }: OllamaMessage): ChatMessage[] {
  if (role !== 'assistant' || !calls?.length) return [{ role, content }];
  return calls.map((call, i) => ({
    role,
    content: i === 0 ? content : '',
    toolCalls: [{ name: call.function.name, arguments: call.function.arguments }],
  }));
}

interface Plan {
  readonly prompt: () => number[];
  readonly param: string;
  readonly toolNames: readonly string[] | null;
  readonly shape: Shape;
}

function start(
  context: ServerContext,
  scope: RequestScope,
  lease: Lease,
  request: OllamaRequest,
  plan: Plan,
): AsyncGenerator<object> {
  const { model } = lease;
  try {
    const promptIds = plan.prompt();
    const options = replyOptions(request, lease);
    const [reply] = startReplies(context, scope, lease, [{ promptIds, numReplies: 1, param: plan.param }], options);
    return chunks(scope, lease, plan.shape, replyPieces(reply!, model.tokenizer, plan.toolNames));
  } catch (error) {
    lease.release();
    throw error;
  }
}

function replyOptions(request: OllamaRequest, { model }: Lease): ReplyOptions {
  const { options = {} as Partial<OllamaOptions>, format } = request;
  const tools = 'tools' in request ? (request.tools ?? []) : [];
  if (format && tools.length > 0) throw invalidField('format', 'format: cannot be used together with tools; keep one');
  const { num_predict: numPredict = -1, stop } = options;
  const signatures = tools.map(({ function: { name, parameters } }) => ({ name, parameters: parameters ?? null }));
  return {
    maxTokens: numPredict > 0 ? numPredict : null,
    sampling: {
      temperature: options.temperature ?? DEFAULTS.temperature,
      topK: (options.top_k ?? DEFAULTS.topK) || null,
      topP: options.top_p ?? DEFAULTS.topP,
      minP: options.min_p ?? 0,
      typicalP: options.typical_p ?? 1,
      repetitionPenalty: options.repeat_penalty ?? DEFAULTS.repetitionPenalty,
      presencePenalty: options.presence_penalty ?? 0,
      frequencyPenalty: options.frequency_penalty ?? 0,
    },
    seed: seedOf(options.seed),
    stopIds: model.stopIds,
    stopStrings: typeof stop === 'string' ? [stop] : (stop ?? []),
    logprobs: request.logprobs ? (request.top_logprobs ?? 0) : null,
    constraint: format
      ? formatConstraint(format, model.tokenizer)
      : signatures.length > 0
        ? toolConstraint(signatures, 'auto', constraintVocabulary(model.tokenizer), { parallel: true })
        : null,
  };
}

async function* chunks(
  scope: RequestScope,
  lease: Lease,
  shape: Shape,
  items: AsyncGenerator<ReplyItem>,
): AsyncGenerator<object> {
  const frame = () => ({ model: lease.entry.id, created_at: new Date().toISOString() });
  const calls: WholeCall[] = [];
  for await (const item of items) {
    if (item.kind === 'end') {
      // Ollama's calls come whole.
      if (calls.length > 0) yield { ...frame(), ...shape.part('', calls.map(callObject)), done: false };
      yield { ...frame(), ...shape.part('', []), ...shape.last(item), done: true, ...endOf(item, lease, scope) };
      return;
    }
    for (const event of item.calls) {
      if (event.kind === 'call-start') calls[event.index] = { name: event.name, argumentsJson: '' };
      else calls[event.index]!.argumentsJson += event.fragment;
    }
    if (item.text !== '' || item.token !== null) {
      yield { ...frame(), ...shape.part(item.text, []), done: false, ...logprobsOf(lease, item.token) };
    }
  }
}

function logprobsOf({ model }: Lease, token: TokenLogprobs | null): object {
  return token === null ? {} : { logprobs: [chatLogprob(model.tokenizer, token)] };
}

/** A call whose arguments were cut off by the end of the reply has what can be read of them: nothing. */
function callObject({ name, argumentsJson }: WholeCall, index: number): object {
  let args: unknown = {};
  try {
    args = JSON.parse(argumentsJson);
  } catch {
    args = {};
  }
  return { function: { index, name, arguments: args } };
}

/** Why it ended, and Ollama's counts and durations. */
function endOf({ finishReason, result }: ReplyEnd, { loadMs }: Lease, { startedAt }: RequestScope): object {
  const { timings, promptTokens, ids } = result;
  return {
    done_reason: finishReason === 'length' ? 'length' : 'stop',
    total_duration: nanoseconds(performance.now() - startedAt),
    load_duration: nanoseconds(loadMs),
    prompt_eval_count: promptTokens,
    prompt_eval_duration: nanoseconds(timings.prefillMs),
    eval_count: ids.length,
    eval_duration: nanoseconds(timings.decodeMs),
  };
}

/** Nanoseconds of milliseconds. */
export function nanoseconds(ms: number): number {
  return Math.round(ms * 1e6);
}

/** The chunks of a reply as one object: what `stream: false` answers. */
export async function joined(parts: AsyncGenerator<object>): Promise<object> {
  const all: Chunk[] = [];
  for await (const part of parts) all.push(part as Chunk);
  const last = all.at(-1)!;
  const logprobs = all.flatMap((chunk) => chunk.logprobs ?? []);
  const extra = logprobs.length > 0 ? { logprobs } : {};
  if (last.message === undefined)
    return { ...last, response: all.map(({ response = '' }) => response).join(''), ...extra };
  const calls = all.flatMap(({ message }) => message?.tool_calls ?? []);
  const content = all.map(({ message }) => message?.content ?? '').join('');
  return {
    ...last,
    message: { role: 'assistant', content, ...(calls.length > 0 ? { tool_calls: calls } : {}) },
    ...extra,
  };
}

interface Chunk {
  readonly response?: string;
  readonly message?: { readonly content: string; readonly tool_calls?: readonly object[] };
  readonly logprobs?: readonly object[];
}
