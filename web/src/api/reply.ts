/**
 * A streamed reply of the OpenAI routes: pieces of text as they come, and at the end why it ended and how fast it was.
 */
import { ApiError, linesOf, request } from './http.ts';

export interface ReplyEnd {
  /** OpenAI's finish reason. */
  readonly finish: string;
  readonly promptTokens: number;
  readonly tokens: number;
  /** From the request to the first piece of text. */
  readonly firstMs: number;
  /** Tokens after the first, per second; null for a reply of one token. */
  readonly tokensPerSecond: number | null;
}

interface Chunk {
  readonly error?: { readonly message: string; readonly code?: string | null };
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null };
    readonly text?: string;
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
}

export interface Listener {
  /** Called with each piece of text. */
  readonly onText: (text: string) => void;
  readonly signal: AbortSignal;
  /** Tells a balancer which replica has the beginning of the conversation in its cache. */
  readonly conversationId: string;
}

/** Streams a reply. Throws ApiError, also if the stream breaks off. */
export async function streamReply(
  path: string,
  body: object,
  { onText, signal, conversationId }: Listener,
): Promise<ReplyEnd> {
  const startedAt = performance.now();
  let firstAt: number | null = null;
  let lastAt = startedAt;
  let finish: string | null = null;
  let usage: NonNullable<Chunk['usage']> = { prompt_tokens: 0, completion_tokens: 0 };
  const response = await request(path, {
    body: { ...body, stream: true, stream_options: { include_usage: true } },
    headers: { 'X-Conversation-Id': conversationId },
    signal,
  });
  for await (const line of linesOf(response)) {
    const chunk = chunkOf(line);
    if (chunk === null) continue;
    if (chunk.error) throw new ApiError(200, chunk.error.message, chunk.error.code ?? null);
    usage = chunk.usage ?? usage;
    const choice = chunk.choices?.[0];
    const text = choice?.delta?.content ?? choice?.text ?? '';
    if (text !== '') {
      lastAt = performance.now();
      firstAt ??= lastAt;
      onText(text);
    }
    finish = choice?.finish_reason ?? finish;
  }
  if (finish === null) throw new ApiError(0, 'The reply broke off: the connection to the server was lost.', null);
  const later = usage.completion_tokens - 1;
  const seconds = (lastAt - (firstAt ?? lastAt)) / 1000;
  return {
    finish,
    promptTokens: usage.prompt_tokens,
    tokens: usage.completion_tokens,
    firstMs: (firstAt ?? lastAt) - startedAt,
    tokensPerSecond: later > 0 && seconds > 0 ? later / seconds : null,
  };
}

function chunkOf(line: string): Chunk | null {
  const data = line.trim();
  if (!data.startsWith('data:') || data === 'data: [DONE]') return null; // comments are pings
  return JSON.parse(data.slice('data:'.length)) as Chunk;
}
