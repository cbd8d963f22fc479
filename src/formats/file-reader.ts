/**
 * Random access to one file with the size known and every read checked against it.
 * Knows nothing about formats; a read past the end is a FormatError that names the file.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { FormatError, invariant } from '../util/errors.ts';

const MAX_READ_BYTES = 2 ** 26; // one system call may not take 2 GiB

/** An open file; `close` it when done. */
export class FileReader {
  readonly path: string;
  readonly size: number;
  readonly #handle: FileHandle;

  private constructor(path: string, size: number, handle: FileHandle) {
    this.path = path;
    this.size = size;
    this.#handle = handle;
  }

  /** Opens a regular file; throws a FormatError if it is missing or no regular file. */
  static async open(path: string): Promise<FileReader> {
    let handle: FileHandle;
    try {
      handle = await open(path, 'r');
    } catch (error) {
      throw new FormatError(`${path}: cannot be opened (${(error as NodeJS.ErrnoException).code})`, { cause: error });
    }
    const stat = await handle.stat();
    if (!stat.isFile()) {
      await handle.close();
      throw new FormatError(`${path}: is not a regular file`);
    }
    return new FileReader(path, stat.size, handle);
  }

  /** Fills `target` with the bytes at `offset`; throws a FormatError if the file ends before. */
  async readInto(offset: number, target: Uint8Array): Promise<void> {
    invariant(Number.isSafeInteger(offset) && offset >= 0, `internal: read at ${offset}`);
    if (offset + target.length > this.size) throw this.#truncated(offset, target.length);
    let done = 0;
    while (done < target.length) {
      const length = Math.min(target.length - done, MAX_READ_BYTES);
      const { bytesRead } = await this.#handle.read(target, done, length, offset + done);
      if (bytesRead === 0) throw this.#truncated(offset, target.length); // the file shrank under us
      done += bytesRead;
    }
  }

  /** The `length` bytes at `offset` in fresh memory; checked against the size before anything is allocated. */
  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    if (!(offset + length <= this.size)) throw this.#truncated(offset, length);
    const target = new Uint8Array(length);
    await this.readInto(offset, target);
    return target;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  #truncated(offset: number, length: number): FormatError {
    return new FormatError(
      `${this.path}: ends at byte ${this.size}, but ${length} bytes at ${offset} are needed; the file is cut off or damaged`,
    );
  }
}
