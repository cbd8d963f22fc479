/**
 * How many replies one model may have running and waiting: beyond that a request is turned away at once instead of waiting for ever.
 */
import { tooManyRequests } from './api-error.ts';

const MAX_RETRY_AFTER_SECONDS = 60;
/** Weight of the newest reply in the average duration that Retry-After is told from. */
const NEWEST_WEIGHT = 0.1;

/** Counts the replies of one model. */
export class Admission {
  readonly #maxRunning: number;
  readonly #maxWaiting: number;
  #count = 0;
  #meanMs = 1000;

  constructor(maxRunning: number, maxWaiting: number) {
    this.#maxRunning = maxRunning;
    this.#maxWaiting = maxWaiting;
  }

  /** Replies under way, running or waiting. */
  get count(): number {
    return this.#count;
  }

  /** Takes room for `numReplies`; throws a 429 if there is none. The function it returns gives it back, once. */
  enter(numReplies: number): () => void {
    const limit = this.#maxRunning + this.#maxWaiting;
    if (this.#count + numReplies > limit) {
      const seconds = Math.ceil(((this.#count / this.#maxRunning) * this.#meanMs) / 1000);
      throw tooManyRequests(
        `${this.#count} replies are running or waiting, the limit is ${limit}; try again later`,
        Math.min(MAX_RETRY_AFTER_SECONDS, Math.max(1, seconds)),
      );
    }
    this.#count += numReplies;
    const startedAt = performance.now();
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#count -= numReplies;
      this.#meanMs += NEWEST_WEIGHT * (performance.now() - startedAt - this.#meanMs);
    };
  }
}
