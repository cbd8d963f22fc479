/**
 * Reading GGUF files as a tensor source with metadata; files split into parts are joined.
 * Knows nothing about models. Source: ggml docs/gguf.md; split files: llama.cpp tools/gguf-split.
 */
import { basename, dirname, join } from 'node:path';
import { FormatError, invariant } from '../util/errors.ts';
import { FileReader } from './file-reader.ts';
import { NeedMoreBytes, parseGgufHeader, type GgufHeader, type GgufValue } from './gguf-header.ts';
import { renamedSource, type RenamedTensor } from './renamed-source.ts';
import { STORED_DTYPES, storedBytes, type StoredDType } from './stored-dtype.ts';
import { quoted, rowOffset, tensorInfo, type TensorInfo, type TensorSource } from './tensor-source.ts';

/** An open GGUF file. */
export interface GgufSource extends TensorSource {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
}

const FIRST_READ_BYTES = 2 ** 24; // holds the header of a Llama 3 file
const MAX_HEADER_BYTES = 2 ** 28; // the vocabulary is in it: 8 MB for Llama 3

const DTYPE_OF_NUMBER: ReadonlyMap<number, StoredDType> = new Map(
  (Object.keys(STORED_DTYPES) as StoredDType[]).flatMap((dtype) => {
    const { ggmlType } = STORED_DTYPES[dtype];
    return ggmlType === null ? [] : [[ggmlType, dtype] as const];
  }),
);

/** Opens a GGUF file, and its other parts if it is the first of a split; throws a FormatError that names the fault. */
export async function openGguf(path: string): Promise<GgufSource> {
  const first = await openPart(path);
  const parts = first.metadata.get('split.count')?.value ?? 1;
  if (parts === 1 || parts === 0) return first;
  const opened = [first];
  try {
    for (const other of otherParts(path, parts)) opened.push(await openPart(other));
    return { ...first, ...joinParts(path, opened) };
  } catch (error) {
    await Promise.all(opened.map((part) => part.close()));
    throw error;
  }
}

const MAX_PARTS = 1000;

function otherParts(path: string, parts: GgufValue['value']): string[] {
  const match = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/.exec(basename(path));
  if (match === null || Number(match[3]) !== parts || Number(match[2]) !== 1 || parts > MAX_PARTS) {
    const found = typeof parts === 'object' ? 'many' : parts;
    throw new FormatError(
      `${path}: is one of ${found} parts; give the first, which must be named as NAME-00001-of-${String(found).padStart(5, '0')}.gguf`,
    );
  }
  const names = Array.from(
    { length: parts - 1 },
    (_, i) => `${match[1]}-${String(i + 2).padStart(5, '0')}-of-${match[3]}.gguf`,
  );
  return names.map((name) => join(dirname(path), name));
}

function joinParts(path: string, parts: readonly GgufSource[]): TensorSource {
  const tensors = new Map<string, RenamedTensor>();
  for (const source of parts) {
    for (const name of source.tensors.keys()) {
      if (tensors.has(name)) throw new FormatError(`${source.path}: tensor ${quoted(name)} is in another part too`);
      tensors.set(name, { source, name, rotary: null });
    }
  }
  return renamedSource(path, tensors, parts);
}

async function openPart(path: string): Promise<GgufSource> {
  const reader = await FileReader.open(path);
  try {
    const header = await readHeader(reader);
    const tensors = tensorTable(header, reader);
    const source: GgufSource = {
      path,
      version: header.version,
      metadata: header.metadata,
      tensors,
      async readRows(name, firstRow, target) {
        const info = tensorInfo(this, name);
        await reader.readInto(info.location!.byteOffset + rowOffset(info, firstRow, target), target);
      },
      close: () => reader.close(),
    };
    return source;
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** The header has no length field: read ever more of the file until it parses. */
async function readHeader(reader: FileReader): Promise<GgufHeader> {
  for (let length = FIRST_READ_BYTES; ; length *= 4) {
    const bytes = await reader.read(0, Math.min(length, reader.size, MAX_HEADER_BYTES));
    try {
      return parseGgufHeader(Buffer.from(bytes.buffer), reader.size, reader.path);
    } catch (error) {
      if (!(error instanceof NeedMoreBytes)) throw error;
      invariant(bytes.length < reader.size, 'internal: the header wants more bytes than the file has');
      if (bytes.length === MAX_HEADER_BYTES) {
        throw new FormatError(`${reader.path}: its header is larger than ${MAX_HEADER_BYTES} bytes`, { cause: error });
      }
    }
  }
}

function tensorTable(header: GgufHeader, reader: FileReader): Map<string, TensorInfo> {
  const tensors = new Map<string, TensorInfo>();
  for (const { name, dimensions, typeNumber, offset } of header.entries) {
    const where = `${reader.path}: tensor ${quoted(name)}`;
    const dtype = DTYPE_OF_NUMBER.get(typeNumber);
    if (dtype === undefined) {
      const known = [...DTYPE_OF_NUMBER.values()].join(' ');
      throw new FormatError(`${where}: ggml type ${typeNumber} is not one cria reads (${known})`);
    }
    if (offset % header.alignment !== 0) throw new FormatError(`${where}: offset ${offset} is not aligned`);
    const shape = dimensions.toReversed();
    const byteLength = storedBytes(dtype, shape, where);
    const byteOffset = header.dataOffset + offset;
    if (byteOffset + byteLength > reader.size) {
      throw new FormatError(`${where}: reaches past the end of the file, which is cut off or damaged`);
    }
    tensors.set(name, { dtype, shape, byteLength, location: { path: reader.path, byteOffset } });
  }
  checkDisjoint(tensors, reader.path);
  return tensors;
}

function checkDisjoint(tensors: ReadonlyMap<string, TensorInfo>, path: string): void {
  const inOrder = [...tensors].toSorted(
    ([, a], [, b]) => a.location!.byteOffset - b.location!.byteOffset || a.byteLength - b.byteLength,
  );
  let end = 0;
  for (const [name, { location, byteLength }] of inOrder) {
    if (location!.byteOffset < end) throw new FormatError(`${path}: tensor ${quoted(name)} overlaps another one`);
    end = location!.byteOffset + byteLength;
  }
}
