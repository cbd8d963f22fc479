/**
 * The members of a zip archive with the place of their bytes, so that stored members are read in place.
 * Compressed members are inflated up to a fixed bound. The archive itself is parsed by yauzl (zip64 included).
 */
import { openPromise, type Entry, type ZipFile } from 'yauzl';
import { FormatError } from '../util/errors.ts';
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

/** Lists the archive; throws a FormatError for anything that is no intact zip archive. */
export async function openZipMembers(path: string): Promise<ZipMembers> {
  const zip = await openPromise(path, { autoClose: false, lazyEntries: true, strictFileNames: true }).catch(
    (error: Error) => {
      throw new FormatError(`${path}: is no intact zip archive (${error.message})`, { cause: error });
    },
  );
  try {
    return { members: await listMembers(zip, path), read: readMember, close: () => zip.close() };
  } catch (error) {
    zip.close();
    if (error instanceof FormatError) throw error;
    throw new FormatError(`${path}: is no intact zip archive (${(error as Error).message})`, { cause: error });
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
