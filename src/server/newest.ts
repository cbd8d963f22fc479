/**
 * A value that changes faster than it may be read: a reader gets the newest one each time it asks, and waits if there is none since.
 */

/** Iterates over values as they are set, leaving out those that were replaced before anybody read them. */
export class Newest<T> implements AsyncIterable<T> {
  #value: { readonly of: T } | null = null;
  #isClosed = false;
  #wake: () => void = nobody;

  set(value: T): void {
    this.#value = { of: value };
    this.#wake();
  }

  /** No more values come; the last one is still read. */
  close(): void {
    this.#isClosed = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      if (this.#value !== null) {
        const { of } = this.#value;
        this.#value = null;
        yield of;
      } else if (this.#isClosed) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

function nobody(): void {}
