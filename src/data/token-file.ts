/**
 * Token ids on disk: nothing but ids, little-endian, two bytes each where the vocabulary allows it and four otherwise.
 * What they mean is in the JSON beside them (token-set.ts).
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { writeFileAtomic } from '../util/atomic-file.ts';
import { FormatError, invariant } from '../util/errors.ts';

export type TokenType = 'uint16' | 'uint32';

const BYTES_PER_TOKEN: Record<TokenType, number> = { uint16: 2, uint32: 4 };

/** The narrowest type that holds every id of a vocabulary. */
export function tokenTypeFor(vocabSize: number): TokenType {
  return vocabSize <= 2 ** 16 ? 'uint16' : 'uint32';
}

/** Where `writeTokenFile` lets its callback put ids. */
export type TokenSink = (ids: ArrayLike<number>) => Promise<void>;

const BUFFERED_TOKENS = 2 ** 18;

/** Creates or replaces a token file, atomically. */
export async function writeTokenFile(
  path: string,
  type: TokenType,
  produce: (sink: TokenSink) => Promise<void>,
): Promise<void> {
  await writeFileAtomic(path, async (file) => {
    const buffer = type === 'uint16' ? new Uint16Array(BUFFERED_TOKENS) : new Uint32Array(BUFFERED_TOKENS);
    let used = 0;
    const flush = async (): Promise<void> => {
      await file.write(new Uint8Array(buffer.buffer, 0, used * buffer.BYTES_PER_ELEMENT));
      used = 0;
    };
    await produce(async (ids) => {
      for (let i = 0; i < ids.length; i++) {
        buffer[used++] = ids[i]!;
        if (used === BUFFERED_TOKENS) await flush();
      }
    });
    await flush();
  });
}

/** An open token file; `close` it when done. Reads are positional and small, so the page cache serves them. */
export class TokenFile {
  readonly path: string;
  readonly length: number;
  readonly #file: number;
  readonly #type: TokenType;
  #scratch: Uint16Array | Uint32Array;

  /** Opens a file that must hold exactly `length` ids. */
  constructor(path: string, type: TokenType, length: number) {
    this.path = path;
    this.length = length;
    this.#type = type;
    this.#scratch = this.#makeScratch(0);
    try {
      this.#file = openSync(path, 'r');
    } catch (cause) {
      throw new FormatError(`${path}: cannot be opened (${(cause as NodeJS.ErrnoException).code})`, { cause });
    }
    const { size } = fstatSync(this.#file);
    if (size === length * BYTES_PER_TOKEN[type]) return;
    this.close();
    throw new FormatError(
      `${path}: has ${size} bytes, ${length} tokens take ${length * BYTES_PER_TOKEN[type]}; delete its folder to prepare the data again`,
    );
  }

  /** Sets target[at ...] to the `count` ids from `start` on. */
  read(start: number, count: number, target: Int32Array, at = 0): void {
    invariant(start >= 0 && count >= 0 && start + count <= this.length, `internal: tokens ${start} + ${count}`);
    if (this.#scratch.length < count) this.#scratch = this.#makeScratch(count);
    const ids = this.#scratch.subarray(0, count);
    const bytes = new Uint8Array(ids.buffer, 0, ids.byteLength);
    for (let done = 0; done < bytes.length;) {
      const numRead = readSync(
        this.#file,
        bytes,
        done,
        bytes.length - done,
        start * BYTES_PER_TOKEN[this.#type] + done,
      );
      if (numRead === 0) throw new FormatError(`${this.path}: was cut off while it was in use`);
      done += numRead;
    }
    target.set(ids, at);
  }

  close(): void {
    closeSync(this.#file);
  }

  #makeScratch(count: number): Uint16Array | Uint32Array {
    return this.#type === 'uint16' ? new Uint16Array(count) : new Uint32Array(count);
  }
}
