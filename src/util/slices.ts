/**
 * Long work in slices: a generator that yields wherever it may be interrupted, run at once or a few milliseconds at a time.
 */
import { setImmediate } from 'node:timers/promises';

/** Work that yields wherever it may be interrupted. */
export type Sliced<T> = Generator<undefined, T>;

/** Work between two turns of the event loop, at most but for the last stretch between yields. */
const SLICE_MS = 2;

/** Does all that is left, at once. */
export function runAtOnce<T>(work: Sliced<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}

/** Does all that is left and lets the event loop turn in between. */
export async function runInSlices<T>(work: Sliced<T>): Promise<T> {
  for (;;) {
    const until = performance.now() + SLICE_MS;
    while (performance.now() < until) {
      const { done, value } = work.next();
      if (done) return value;
    }
    await setImmediate();
  }
}
