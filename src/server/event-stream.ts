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
  const { ping, pingMs, stallMs } = options;
  const encoder = new TextEncoder();
  let lastPieceAt = performance.now();
  let isWaiting = false; // for a piece, rather than for the reader
  let isOver = false;
  let watch: NodeJS.Timeout;
  const finish = (): void => {
    isOver = true;
    clearInterval(watch);
    options.onOver();
  };
  const send = (controller: ReadableStreamDefaultController<Uint8Array>, piece: string): void => {
    lastPieceAt = performance.now();
    controller.enqueue(encoder.encode(piece));
  };
  return new ReadableStream<Uint8Array>({
    start(controller) {
      // One timer a stream: one a piece would cost more than the piece.
      watch = setInterval(
        () => {
          const quietMs = performance.now() - lastPieceAt;
          if (isWaiting && ping !== null && quietMs >= pingMs) send(controller, ping);
          if (isWaiting || quietMs < stallMs) return;
          const reason = new DOMException('the reader stopped reading', 'AbortError');
          options.onGone(reason);
          finish();
          controller.error(reason);
        },
        Math.min(pingMs, stallMs) / WATCHES_PER_LIMIT,
      );
    },
    async pull(controller) {
      isWaiting = true;
      try {
        const next = await pieces.next();
        if (isOver) return;
        if (!next.done) return send(controller, next.value);
        finish();
      } catch (error) {
        if (isOver) return;
        const lastWords = options.onError(error); // before the end, which is logged with what went wrong
        finish();
        send(controller, lastWords);
      } finally {
        isWaiting = false;
      }
      controller.close();
    },
    cancel() {
      if (isOver) return;
      options.onGone(new DOMException('the reader left', 'AbortError'));
      finish();
    },
  });
}

/** How exactly the limits of time are kept. */
const WATCHES_PER_LIMIT = 8;
