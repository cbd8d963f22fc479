/**
 * A growing list of token ids in a typed array.
 */

export class IdSink {
  #ids = new Uint32Array(1024);
  length = 0;

  push(id: number): void {
    if (this.length === this.#ids.length) this.#grow();
    this.#ids[this.length++] = id;
  }

  /** The ids so far: a view, valid until the next push. */
  view(): Uint32Array {
    return this.#ids.subarray(0, this.length);
  }

  /** Copies the ids from `first` on into `target[at..]`. */
  copyTo(target: Int32Array, at: number, first: number): void {
    for (let i = first; i < this.length; i++) target[at++] = this.#ids[i]!;
  }

  /** A copy of the ids as a plain array. */
  toArray(): number[] {
    const copy: number[] = [];
    for (let i = 0; i < this.length; i++) copy.push(this.#ids[i]!);
    return copy;
  }

  #grow(): void {
    const grown = new Uint32Array(this.#ids.length * 2);
    grown.set(this.#ids);
    this.#ids = grown;
  }
}
