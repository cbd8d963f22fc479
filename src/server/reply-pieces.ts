/**
 * A reply as clients see it while it comes: text, tool calls recognised in it, log-probabilities, and how it ended.
 */
import type { Generation, GenerationResult } from '../infer/generation.ts';
import type { TokenLogprobs } from '../infer/token-logprobs.ts';
import { PYTHON_TAG } from '../tokenizer/special-tokens.ts';
import { type ReplyEvent, ToolCallStream } from '../tokenizer/tool-call-stream.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

export type CallEvent = Exclude<ReplyEvent, { kind: 'text' | 'call-end' }>;

/** What became certain with one token. */
export interface ReplyPiece {
  readonly text: string;
  readonly calls: readonly CallEvent[];
  /** Null where log-probabilities were not asked for, or text follows that was held back. */
  readonly token: TokenLogprobs | null;
}

export interface ReplyEnd {
  readonly finishReason: 'stop' | 'length' | 'tool_calls';
  readonly result: GenerationResult;
}

export type ReplyItem = ({ readonly kind: 'piece' } & ReplyPiece) | ({ readonly kind: 'end' } & ReplyEnd);

/** Pieces of a reply, then its end. `toolNames`: calls of these tools are recognised; null: everything is text. */
export async function* replyPieces(
  generation: Generation,
  tokenizer: Tokenizer,
  toolNames: readonly string[] | null,
): AsyncGenerator<ReplyItem> {
  const calls = toolNames === null ? null : new ToolCallStream({ toolNames });
  const pythonTag = calls === null ? null : tokenizer.idOf(PYTHON_TAG);
  let hasCalls = false;
  const pieceOf = (events: readonly ReplyEvent[], token: TokenLogprobs | null): ReplyItem => {
    const callEvents = events.filter((event) => event.kind === 'call-start' || event.kind === 'arguments');
    hasCalls ||= callEvents.length > 0;
    return { kind: 'piece', text: textOf(events), calls: callEvents, token };
  };
  for await (const { id, text, logprob, topLogprobs } of generation) {
    const token = id === null || logprob === null ? null : { id, logprob, topLogprobs };
    if (calls === null) {
      yield { kind: 'piece', text, calls: [], token };
    } else {
      // The engine leaves special tokens out of the text; this one says that a call follows.
      const written = id !== null && id === pythonTag ? PYTHON_TAG + text : text;
      yield pieceOf(calls.push(written), token);
    }
  }
  if (calls !== null) yield pieceOf(calls.end(), null);
  const result = await generation.result;
  const { finishReason } = result;
  yield { kind: 'end', finishReason: hasCalls && finishReason === 'stop' ? 'tool_calls' : finishReason, result };
}

function textOf(events: readonly ReplyEvent[]): string {
  return events.map((event) => (event.kind === 'text' ? event.text : '')).join('');
}

/** A tool call with all its arguments. */
export interface WholeCall {
  name: string;
  argumentsJson: string;
}

/** A whole reply. */
export interface WholeReply extends ReplyEnd {
  readonly text: string;
  readonly calls: readonly WholeCall[];
  readonly tokens: readonly TokenLogprobs[];
}

/** Waits for the end of a reply. */
export async function wholeReply(items: AsyncIterable<ReplyItem>): Promise<WholeReply> {
  let text = '';
  const calls: WholeCall[] = [];
  const tokens: TokenLogprobs[] = [];
  for await (const item of items) {
    if (item.kind === 'end') return { text, calls, tokens, finishReason: item.finishReason, result: item.result };
    text += item.text;
    if (item.token) tokens.push(item.token);
    for (const event of item.calls) {
      if (event.kind === 'call-start') calls[event.index] = { name: event.name, argumentsJson: '' };
      else calls[event.index]!.argumentsJson += event.fragment;
    }
  }
  throw new Error('internal: a reply without an end');
}
