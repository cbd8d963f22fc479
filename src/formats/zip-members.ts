/**
 * The members of a zip archive with the place of their bytes, so that stored members are read in place.
 * Compressed members are inflated up to a fixed bound. The archive itself is parsed by yauzl (zip64 included).
 */
import { Readable } from 'node:stream';
import { fromRandomAccessReaderPromise, RandomAccessReader, type Entry, type ZipFile } from 'yauzl';
import { FormatError } from '../util/errors.ts';
import type { FileReader } from './file-reader.ts';
import { quoted } from './tensor-source.ts';

export interface ZipMember {
  readonly name: string;
  readonly uncompressedBytes: number;
  /** Where the bytes lie in the archive file; null if they are compressed. */
  readonly byteOffset: number | null;
  readonly entry: Entry;
}

export interface ZipMembers {
  readonly members: ReadonlyMap<string, ZipMember>;
  /** All bytes of a member of at most `maxBytes`, inflated if needed. */
  read(member: ZipMember, maxBytes: number): Promise<Uint8Array>;
  close(): void;
}

const MAX_MEMBERS = 100_000;
const STREAM_CHUNK_BYTES = 2 ** 16;

/** Gives yauzl bytes of the file; its own reader throws where nothing can catch it when a place lies outside. */
class CheckedReader extends RandomAccessReader {
  readonly #file: FileReader;

  constructor(file: FileReader) {
    super();
    this.#file = file;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    this.#read(position, buffer.subarray(offset, offset + length)).then(
      () => callback(null, length),
      (error: Error) => callback(error),
    );
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from(this.#chunks(start, end), { objectMode: false });
  }

  async *#chunks(start: number, end: number): AsyncGenerator<Uint8Array> {
    for (let position = start; position < end; position += STREAM_CHUNK_BYTES) {
      const chunk = new Uint8Array(Math.min(STREAM_CHUNK_BYTES, end - position));
      await this.#read(position, chunk);
      yield chunk;
    }
  }

  async #read(position: number, target: Uint8Array): Promise<void> {
    if (!Number.isSafeInteger(position) || position < 0) throw new Error(`it refers to byte ${position}`);
    await this.#file.readInto(position, target);
  }
}

/** Lists the archive; throws a FormatError for anything that is no intact zip archive. Leaves closing `file` to the caller. */
export async function openZipMembers(file: FileReader): Promise<ZipMembers> {
  const { path, size } = file;
  const options = { autoClose: false, lazyEntries: true, strictFileNames: true };
  const zip = await fromRandomAccessReaderPromise(new CheckedReader(file), size, options).catch((error: Error) => {
    throw damaged(path, error);
  });
  try {
    return { members: await listMembers(zip, path), read: readMember, close: () => zip.close() };
  } catch (error) {
    zip.close();
    throw damaged(path, error as Error);
  }

  async function readMember(member: ZipMember, maxBytes: number): Promise<Uint8Array> {
    const where = `${path}: member ${quoted(member.name)}`;
    if (member.uncompressedBytes > maxBytes) {
      throw new FormatError(`${where} has ${member.uncompressedBytes} bytes, more than the ${maxBytes} that are read`);
    }
    const target = new Uint8Array(member.uncompressedBytes);
    let position = 0;
    try {
      for await (const chunk of await zip.openReadStreamPromise(member.entry)) {
        target.set(chunk as Uint8Array, position); // throws past the declared size
        position += (chunk as Uint8Array).length;
      }
    } catch (error) {
      throw new FormatError(`${where} cannot be read (${(error as Error).message})`, { cause: error });
    }
    if (position !== target.length) throw new FormatError(`${where} ends early`);
    return target;
  }
}

function damaged(path: string, error: Error): FormatError {
  if (error instanceof FormatError) return error;
  return new FormatError(`${path}: is no intact zip archive (${error.message})`, { cause: error });
}

async function listMembers(zip: ZipFile, path: string): Promise<Map<string, ZipMember>> {
  if (zip.entryCount > MAX_MEMBERS) throw new FormatError(`${path}: holds ${zip.entryCount} members`);
  const members = new Map<string, ZipMember>();
  for await (const entry of zip.eachEntry()) {
    const name = entry.fileName;
    if (members.has(name)) throw new FormatError(`${path}: holds member ${quoted(name)} twice`);
    if (members.size >= MAX_MEMBERS) throw new FormatError(`${path}: holds more than ${MAX_MEMBERS} members`);
    if (!entry.canDecodeFileData())
      throw new FormatError(`${path}: member ${quoted(name)} is encrypted or packed oddly`);
    const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
    if (fileDataStart + entry.compressedSize > zip.fileSize) {
      throw new FormatError(`${path}: member ${quoted(name)} reaches past the end; the file is cut off or damaged`);
    }
    const byteOffset = entry.compressionMethod === 0 ? fileDataStart : null;
    members.set(name, { name, uncompressedBytes: entry.uncompressedSize, byteOffset, entry });
  }
  return members;
}
