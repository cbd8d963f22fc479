/**
 * A response body that comes piece by piece: takes a piece only when the reader has room, so what waits is bounded; keeps an idle
 * connection alive; gives up on a reader that stopped reading. Knows nothing of what the pieces mean.
 */
export interface StreamOptions {
  /** Sent when nothing else was for `pingMs`; null for formats without comments. */
  readonly ping: string | null;
  readonly pingMs: number;
  /** A reader that takes nothing for so long is given up. */
  readonly stallMs: number;
  /** Called once when the reader left or was given up: ends what makes the pieces. */
  readonly onGone: (reason: Error) => void;
  /** What to send in place of the rest when making the pieces fails. */
  readonly onError: (error: unknown) => string;
  /** Called once at the end, whatever the end was. */
  readonly onOver: () => void;
}

/** Bytes of `pieces` as they come. */
export function eventStream(pieces: AsyncIterator<string>, options: StreamOptions): ReadableStream<Uint8Array> {
  return new ReadableStream(new PieceSource(pieces, options));
}

/** How exactly the limits of time are kept. */
const WATCHES_PER_LIMIT = 8;

class PieceSource {
  readonly #pieces: AsyncIterator<string>;
  readonly #options: StreamOptions;
  readonly #encoder = new TextEncoder();
  #watch: NodeJS.Timeout | undefined;
  #lastPieceAt = performance.now();
  #isWaiting = false; // for a piece, rather than for the reader
  #isOver = false;

  constructor(pieces: AsyncIterator<string>, options: StreamOptions) {
    this.#pieces = pieces;
    this.#options = options;
  }

  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    // One timer a stream: one a piece would cost more than the piece.
    const { pingMs, stallMs } = this.#options;
    this.#watch = setInterval(() => this.#look(controller), Math.min(pingMs, stallMs) / WATCHES_PER_LIMIT);
  }

  async pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    this.#isWaiting = true;
    try {
      const next = await this.#pieces.next();
      if (this.#isOver) return;
      if (!next.done) return this.#send(controller, next.value);
      this.#finish();
    } catch (error) {
      if (this.#isOver) return;
      const lastWords = this.#options.onError(error); // before the end, which is logged with what went wrong
      this.#finish();
      this.#send(controller, lastWords);
    } finally {
      this.#isWaiting = false;
    }
    controller.close();
  }

  cancel(): void {
    if (!this.#isOver) this.#leave('the reader left');
  }

  /** Pings a reader who waits for us; gives up one for whom we wait. */
  #look(controller: ReadableStreamDefaultController<Uint8Array>): void {
    const { ping, pingMs, stallMs } = this.#options;
    const quietMs = performance.now() - this.#lastPieceAt;
    if (this.#isWaiting && ping !== null && quietMs >= pingMs) this.#send(controller, ping);
    if (!this.#isWaiting && quietMs >= stallMs) controller.error(this.#leave('the reader stopped reading'));
  }

  #send(controller: ReadableStreamDefaultController<Uint8Array>, piece: string): void {
    this.#lastPieceAt = performance.now();
    controller.enqueue(this.#encoder.encode(piece));
  }

  #leave(why: string): Error {
    const reason = new DOMException(why, 'AbortError');
    this.#options.onGone(reason);
    this.#finish();
    return reason;
  }

  #finish(): void {
    this.#isOver = true;
    clearInterval(this.#watch);
    this.#options.onOver();
  }
}
