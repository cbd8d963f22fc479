/**
 * Binary min-heap of numbers.
 */

export class MinHeap {
  readonly #keys: number[];

  /** A heap over `sorted`, which is taken over and must ascend. */
  constructor(sorted: number[] = []) {
    this.#keys = sorted;
  }

  get size(): number {
    return this.#keys.length;
  }

  push(key: number): void {
    const keys = this.#keys;
    let at = keys.length;
    keys.push(key);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (keys[parent]! <= key) break;
      keys[at] = keys[parent]!;
      at = parent;
    }
    keys[at] = key;
  }

  /** The smallest key, which stays; undefined if there is none. */
  peek(): number | undefined {
    return this.#keys[0];
  }

  /** Takes the smallest key out; undefined if there is none. */
  pop(): number | undefined {
    const keys = this.#keys;
    const top = keys[0];
    const last = keys.pop();
    const size = keys.length;
    if (last === undefined || size === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && keys[child + 1]! < keys[child]!) child++;
      if (keys[child]! >= last) break;
      keys[at] = keys[child]!;
      at = child;
    }
    keys[at] = last;
    return top;
  }
}
