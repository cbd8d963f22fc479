/**
 * What every route is given: the models, the limits, where to count and to log; and what belongs to one request.
 */
import { setMaxListeners } from 'node:events';
import type { Logger } from 'pino';
import type { ApiError } from './api-error.ts';
import type { ApiKeys } from './api-keys.ts';
import type { Metrics } from './metrics.ts';
import type { ModelRegistry } from './model-registry.ts';

export interface ServerSettings {
  readonly maxBodyBytes: number;
  /** Longest time from a request to the end of its answer. */
  readonly requestTimeoutMs: number;
  /** How long an OpenAI request waits for a model that is loading before it is told to come back. */
  readonly loadWaitMs: number;
  readonly pingMs: number;
  /** A client that reads nothing for so long is given up. */
  readonly stallMs: number;
  /** Null: everybody may use the server. */
  readonly apiKeys: ApiKeys | null;
  /** Per key, or per address without keys; null: no limit. */
  readonly requestsPerMinute: number | null;
  /** Origins of other sites whose pages may use the server; ['*'] for all. */
  readonly corsOrigins: readonly string[];
  /** Host names it answers to; null: all. Keeps pages of other sites from reaching a server that listens on this machine alone. */
  readonly allowedHosts: readonly string[] | null;
  /** Whether prompts and replies are written to the log. */
  readonly logsText: boolean;
}

export const DEFAULT_SETTINGS: ServerSettings = {
  maxBodyBytes: 16 * 2 ** 20,
  requestTimeoutMs: 3_600_000,
  loadWaitMs: 1000,
  pingMs: 15_000,
  stallMs: 60_000,
  apiKeys: null,
  requestsPerMinute: null,
  corsOrigins: [],
  allowedHosts: null,
  logsText: false,
};

export interface ServerContext {
  readonly registry: ModelRegistry;
  readonly settings: ServerSettings;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly version: string;
}

/** One request on its way: its name in the log, what ends it early, and what is to happen when it is over. */
export class RequestScope {
  readonly id: string;
  readonly startedAt = performance.now();
  /** What the log says of it at the end. */
  readonly notes: Record<string, unknown> = {};
  /** Drops the connection of a reader that cannot be told anything any more. */
  readonly destroy: () => void;
  readonly #controller = new AbortController();
  #onEnd: (() => void)[] = [];
  #isOpen = false;
  #failure: { readonly told: ApiError; readonly cause: unknown } | null = null;

  constructor(id: string, signals: readonly AbortSignal[], timeoutMs: number, destroy: () => void = () => {}) {
    this.id = id;
    this.destroy = destroy;
    const timer = setTimeout(() => this.abort(new DOMException('took too long', 'TimeoutError')), timeoutMs);
    this.onEnd(() => clearTimeout(timer));
    setMaxListeners(0, this.signal); // one for each of its replies
    for (const signal of signals) this.#follow(signal);
  }

  /** Ends everything that is done for this request. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether its answer goes on after the response was begun. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** What went wrong and what the client was told; null if nothing did. */
  get failure(): { readonly told: ApiError; readonly cause: unknown } | null {
    return this.#failure;
  }

  abort(reason: Error): void {
    if (!this.signal.aborted) this.#controller.abort(reason);
  }

  fail(told: ApiError, cause: unknown): void {
    this.#failure = { told, cause };
  }

  /** The response streams: whoever writes it calls `end`. */
  keepOpen(): void {
    this.#isOpen = true;
  }

  /** The answer is complete, or nobody wants it any more. */
  end(): void {
    const callbacks = this.#onEnd;
    this.#onEnd = [];
    for (const callback of callbacks) callback();
  }

  onEnd(callback: () => void): void {
    this.#onEnd.push(callback);
  }

  #follow(signal: AbortSignal): void {
    const onAbort = () => this.abort(asError(signal.reason));
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort);
    this.onEnd(() => signal.removeEventListener('abort', onAbort));
  }
}

/** Adapters give a text where an error belongs. */
function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new DOMException(String(reason), 'AbortError');
}
