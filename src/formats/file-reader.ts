/**
 * Random access to one file with the size known and every read checked against it.
 * Knows nothing about formats, only what often lies in a file's place; a read past the end is a FormatError that names the file.
 */
import { open, stat, type FileHandle } from 'node:fs/promises';
import { FormatError, invariant } from '../util/errors.ts';

const MAX_READ_BYTES = 2 ** 26; // one system call may not take 2 GiB

// What git clone leaves in the place of large files where Git LFS is not installed.
const POINTER_START = 'version https://git-lfs.github.com/spec/';
const MAX_POINTER_BYTES = 1024;

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

  /** Opens a regular file; throws a FormatError if it is missing, empty, no regular file, or stands for one that was not fetched. */
  static async open(path: string): Promise<FileReader> {
    await checkRegular(path); // before opening: that waits for a writer if it is a pipe
    const handle = await open(path, 'r').catch((error: unknown) => {
      throw notOpened(path, error);
    });
    const reader = new FileReader(path, (await handle.stat()).size, handle);
    try {
      await reader.#checkFetched();
    } catch (error) {
      await handle.close();
      throw error;
    }
    return reader;
  }

  async #checkFetched(): Promise<void> {
    if (this.size === 0) throw new FormatError(`${this.path}: is empty; fetch it again`);
    if (this.size > MAX_POINTER_BYTES) return;
    const text = Buffer.from(await this.read(0, this.size)).toString('latin1');
    if (!text.startsWith(POINTER_START)) return;
    throw new FormatError(`${this.path}: is a Git LFS pointer, not the file itself; run git lfs pull in its folder`);
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

/** Throws a FormatError unless a regular file is at `path`. */
export async function checkRegular(path: string): Promise<void> {
  const stats = await stat(path).catch((error: unknown) => {
    throw notOpened(path, error);
  });
  if (!stats.isFile()) throw new FormatError(`${path}: is not a regular file`);
}

function notOpened(path: string, error: unknown): FormatError {
  const { code } = error as NodeJS.ErrnoException;
  const advice = code === 'ENOENT' ? '; the file is missing, fetch it too' : '';
  return new FormatError(`${path}: cannot be opened (${code})${advice}`, { cause: error });
}
