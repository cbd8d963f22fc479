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
  const encoder = new TextEncoder();
  let pending: Promise<IteratorResult<string>> | null = null;
  let stall: NodeJS.Timeout | null = null;
  let isOver = false;
  const finish = (): void => {
    isOver = true;
    if (stall) clearTimeout(stall);
    options.onOver();
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (stall) clearTimeout(stall);
      pending ??= pieces.next();
      let piece: string;
      try {
        const next = await orPing(pending, options);
        if (next !== PING) pending = null;
        if (isOver) return;
        if (next !== PING && next.done) {
          finish();
          return controller.close();
        }
        piece = next === PING ? options.ping! : next.value;
      } catch (error) {
        if (isOver) return;
        finish();
        controller.enqueue(encoder.encode(options.onError(error)));
        return controller.close();
      }
      controller.enqueue(encoder.encode(piece));
      stall = setTimeout(() => {
        const reason = new DOMException('the reader stopped reading', 'AbortError');
        options.onGone(reason);
        finish();
        controller.error(reason);
      }, options.stallMs);
    },
    cancel() {
      if (isOver) return;
      options.onGone(new DOMException('the reader left', 'AbortError'));
      finish();
    },
  });
}

const PING = Symbol('ping');

/** What comes first: the next piece, or the time for a ping. */
async function orPing<T>(next: Promise<T>, { ping, pingMs }: StreamOptions): Promise<T | typeof PING> {
  if (ping === null) return next;
  let timer: NodeJS.Timeout | undefined;
  const wait = new Promise<typeof PING>((resolve) => (timer = setTimeout(resolve, pingMs, PING)));
  return Promise.race([next, wait]).finally(() => clearTimeout(timer));
}
