/**
 * How many requests each client may make: a bucket that fills evenly over a minute. Time is passed in.
 */
import { tooManyRequests } from './api-error.ts';

const MINUTE_MS = 60_000;
/** Clients remembered at once; a full bucket is the same as none, so forgetting the oldest costs nothing once a minute has passed. */
const MAX_CLIENTS = 10_000;

/** Counts requests by client name. */
export class RateLimit {
  readonly #perMinute: number;
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  constructor(perMinute: number) {
    this.#perMinute = perMinute;
  }

  /** Takes one request of `client` at `nowMs`; throws a 429 that says when the next one is free. */
  take(client: string, nowMs: number): void {
    const perMs = this.#perMinute / MINUTE_MS;
    const bucket = this.#buckets.get(client) ?? { tokens: this.#perMinute, at: nowMs };
    const tokens = Math.min(this.#perMinute, bucket.tokens + (nowMs - bucket.at) * perMs);
    this.#buckets.delete(client); // to the end of the order
    this.#buckets.set(client, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: nowMs });
    if (this.#buckets.size > MAX_CLIENTS) this.#buckets.delete(this.#buckets.keys().next().value!);
    if (tokens >= 1) return;
    const seconds = Math.ceil((1 - tokens) / perMs / 1000);
    throw tooManyRequests(`more than ${this.#perMinute} requests a minute; wait ${seconds} s`, seconds);
  }
}
