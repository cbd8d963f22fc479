/**
 * Requests to the server the page came from: the API key, errors as sentences, patience while a model loads.
 */
import { signal } from '@preact/signals';
import { readStored, writeStored } from '../stored.ts';

const KEY = 'cria.api-key';

/** Whether the server refused for want of a key. */
export const apiKeyWanted = signal(false);

/** What the server is loading for us, as a sentence; null if nothing. */
export const waitingFor = signal<string | null>(null);

/** Whether one was given before. */
export function hasApiKey(): boolean {
  return readStored(KEY) !== null;
}

/** Keeps the key for all requests from now on. */
export function setApiKey(key: string): void {
  writeStored(KEY, key === '' ? null : key);
}

/** The server's answer was an error; the message is its own sentence. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string | null;

  constructor(status: number, message: string, code: string | null) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
  }
}

const MAX_WAITS = 120;
const DEFAULT_WAIT_S = 2;

/** Sends a request; `body` makes it a POST of JSON. Waits while a model loads; throws ApiError for any other refusal. */
export async function request(
  path: string,
  {
    method,
    body,
    headers: more,
    signal: aborted,
  }: { method?: string; body?: object; headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<Response> {
  const headers: Record<string, string> = { ...(body && { 'Content-Type': 'application/json' }), ...more };
  const key = readStored(KEY);
  if (key !== null) headers['Authorization'] = `Bearer ${key}`;
  const init: RequestInit = {
    method: method ?? (body ? 'POST' : 'GET'),
    headers,
    ...(body && { body: JSON.stringify(body) }),
    ...(aborted && { signal: aborted }),
  };
  try {
    for (let waits = 0; ; waits++) {
      const response = await send(path, init);
      if (response.ok) return response;
      const error = await errorOf(response);
      if (response.status === 401) apiKeyWanted.value = true;
      if (response.status !== 503 || waits === MAX_WAITS) throw error;
      waitingFor.value = error.message;
      await sleep(1000 * (Number(response.headers.get('Retry-After')) || DEFAULT_WAIT_S), aborted);
    }
  } finally {
    waitingFor.value = null;
  }
}

/** The JSON that a request is answered with. */
export async function requestJson<T>(path: string, options: Parameters<typeof request>[1] = {}): Promise<T> {
  return (await request(path, options)).json() as Promise<T>;
}

async function send(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(path, init);
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new ApiError(0, 'The server does not answer. Is it still running?', null);
  }
}

/** OpenAI's shape of errors, or Ollama's. */
async function errorOf(response: Response): Promise<ApiError> {
  const body = (await response.json().catch(() => null)) as {
    error?: string | { message?: string; code?: string | null };
  } | null;
  const error = body?.error;
  if (typeof error === 'string') return new ApiError(response.status, error, null);
  return new ApiError(
    response.status,
    error?.message ?? `The server answered ${response.status}.`,
    error?.code ?? null,
  );
}

function sleep(ms: number, aborted: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    aborted?.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(aborted.reason);
    });
  });
}

/** The lines of a streamed answer, as they come. */
export async function* linesOf(response: Response): AsyncGenerator<string, void> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + value).split('\n');
      rest = lines.pop()!;
      yield* lines;
    }
    if (rest !== '') yield rest;
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** One sentence for people, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
