/**
 * Responses that come object by object: server-sent events as OpenAI's clients read them, lines of JSON as Ollama's do.
 */
import { openaiErrorBody, ollamaErrorBody, toApiError } from './api-error.ts';
import { eventStream } from './event-stream.ts';
import type { RequestScope, ServerContext } from './server-context.ts';

interface Format {
  readonly contentType: string;
  readonly ping: string | null;
  readonly render: (value: object) => string;
  readonly last: string;
  readonly errorBody: typeof openaiErrorBody;
}

const SSE: Format = {
  contentType: 'text/event-stream; charset=utf-8',
  ping: ': ping\n\n',
  render: (value) => `data: ${JSON.stringify(value)}\n\n`,
  last: 'data: [DONE]\n\n',
  errorBody: openaiErrorBody,
};

const NDJSON: Format = {
  contentType: 'application/x-ndjson',
  ping: null, // lines of JSON have no comments
  render: (value) => `${JSON.stringify(value)}\n`,
  last: '',
  errorBody: ollamaErrorBody,
};

/** Server-sent events, then `[DONE]`. */
export function sseResponse(context: ServerContext, scope: RequestScope, objects: AsyncGenerator<object>): Response {
  return streamed(SSE, context, scope, objects);
}

/** One JSON object a line. */
export function ndjsonResponse(context: ServerContext, scope: RequestScope, objects: AsyncGenerator<object>): Response {
  return streamed(NDJSON, context, scope, objects);
}

function streamed(
  format: Format,
  context: ServerContext,
  scope: RequestScope,
  objects: AsyncGenerator<object>,
): Response {
  const { pingMs, stallMs } = context.settings;
  scope.keepOpen();
  const body = eventStream(pieces(format, objects), {
    ping: format.ping,
    pingMs,
    stallMs,
    onGone: (reason) => {
      scope.abort(reason);
      scope.destroy();
    },
    onError: (error) => {
      const told = toApiError(error);
      scope.fail(told, error);
      return format.render(format.errorBody(told));
    },
    onOver: () => scope.end(),
  });
  return new Response(body, {
    headers: {
      'Content-Type': format.contentType,
      'Cache-Control': 'no-cache',
      'X-Accel-Buffering': 'no', // nginx would collect the pieces
    },
  });
}

async function* pieces({ render, last }: Format, objects: AsyncGenerator<object>): AsyncGenerator<string> {
  for await (const value of objects) yield render(value);
  if (last !== '') yield last;
}
