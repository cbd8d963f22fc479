/**
 * The header of a GGUF file: typed metadata and the tensor table, parsed from bytes that may claim anything.
 * Knows nothing about models. Source: ggml docs/gguf.md (versions 2 and 3; version 1 was never widely used).
 */
import { FormatError } from '../util/errors.ts';
import { quoted } from './tensor-source.ts';

const SCALAR_TYPES = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const;

/** Metadata types in the order of their numbers. */
export const GGUF_TYPES = SCALAR_TYPES;
export type GgufType = (typeof GGUF_TYPES)[number];

export type GgufArray = readonly (number | bigint | boolean | string | GgufArray)[];

/** A metadata value with its type, so that it can be written back as it was; 64-bit integers beyond 2^53 are bigints. */
export type GgufValue =
  | { readonly type: Exclude<GgufType, 'array'>; readonly value: number | bigint | boolean | string }
  | { readonly type: 'array'; readonly elementType: GgufType; readonly value: GgufArray };

export interface GgufTensorEntry {
  readonly name: string;
  /** Innermost dimension first, as stored. */
  readonly dimensions: readonly number[];
  readonly typeNumber: number;
  /** From the start of the tensor data. */
  readonly offset: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly entries: readonly GgufTensorEntry[];
  readonly alignment: number;
  /** Where tensor data starts, from the start of the file. */
  readonly dataOffset: number;
}

const MAX_ENTRIES = 65_536; // metadata keys, and tensors; 405B has 1,138 tensors
const MAX_NAME_BYTES = 65_535;
const MAX_NESTING = 4;
const MAX_NESTED_ARRAYS = 65_536;
const MAX_ARRAY_ELEMENTS = 2 ** 24; // all arrays together; the vocabulary of Llama 3 takes 600,000
const DEFAULT_ALIGNMENT = 32;
const MAX_ALIGNMENT = 2 ** 20;

/** Thrown inside the parser when the bytes end but the file does not; the caller reads more and starts again. */
export class NeedMoreBytes extends Error {}

interface Cursor {
  readonly bytes: Buffer;
  readonly fileSize: number;
  readonly where: string;
  position: number;
  nestedArrays: number;
  arrayElements: number;
}

function fail(cursor: Cursor, problem: string): never {
  throw new FormatError(
    `${cursor.where}: at byte ${cursor.position}: ${problem}; the file is cut off or damaged, fetch it again`,
  );
}

/** Moves over `length` bytes and returns where they began. */
function take(cursor: Cursor, length: number): number {
  const start = cursor.position;
  if (start + length > cursor.fileSize) fail(cursor, `${length} bytes are needed, the file ends at ${cursor.fileSize}`);
  if (start + length > cursor.bytes.length) throw new NeedMoreBytes();
  cursor.position = start + length;
  return start;
}

const u32 = (c: Cursor): number => c.bytes.readUInt32LE(take(c, 4));

/** A 64-bit count or size, refused beyond `limit` (at most 2^53, so that the sum below is exact where it counts). */
function readCount(cursor: Cursor, limit: number, what: string): number {
  const start = take(cursor, 8);
  const count = cursor.bytes.readUInt32LE(start) + cursor.bytes.readUInt32LE(start + 4) * 2 ** 32;
  if (count > limit) fail(cursor, `claims ${cursor.bytes.readBigUInt64LE(start)} ${what}, at most ${limit} can be`);
  return count;
}

function readString(cursor: Cursor, maxBytes: number): string {
  const length = readCount(cursor, Math.min(maxBytes, cursor.fileSize), 'bytes of text');
  const start = take(cursor, length);
  return cursor.bytes.toString('utf8', start, start + length);
}

function narrowed(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

type Scalar = number | bigint | boolean | string;

const SCALAR_READERS: Readonly<Record<Exclude<GgufType, 'array'>, (c: Cursor) => Scalar>> = {
  uint8: (c) => c.bytes.readUInt8(take(c, 1)),
  int8: (c) => c.bytes.readInt8(take(c, 1)),
  uint16: (c) => c.bytes.readUInt16LE(take(c, 2)),
  int16: (c) => c.bytes.readInt16LE(take(c, 2)),
  uint32: u32,
  int32: (c) => c.bytes.readInt32LE(take(c, 4)),
  float32: (c) => c.bytes.readFloatLE(take(c, 4)),
  bool: readBool,
  string: (c) => readString(c, c.fileSize),
  uint64: (c) => narrowed(c.bytes.readBigUInt64LE(take(c, 8))),
  int64: (c) => narrowed(c.bytes.readBigInt64LE(take(c, 8))),
  float64: (c) => c.bytes.readDoubleLE(take(c, 8)),
};

/** Fewest bytes an element of each type takes, which bounds how many an array can hold. */
const MIN_BYTES: Readonly<Record<GgufType, number>> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  string: 8,
  array: 12,
  uint64: 8,
  int64: 8,
  float64: 8,
};

function readBool(cursor: Cursor): boolean {
  const byte = cursor.bytes.readUInt8(take(cursor, 1));
  if (byte > 1) fail(cursor, `a boolean is ${byte}`);
  return byte === 1;
}

function readType(cursor: Cursor): GgufType {
  const number = u32(cursor);
  return GGUF_TYPES[number] ?? fail(cursor, `metadata type ${number} is unknown`);
}

function readValue(cursor: Cursor): GgufValue {
  const type = readType(cursor);
  if (type === 'array') return readArray(cursor, 1);
  return { type, value: SCALAR_READERS[type](cursor) };
}

function readArray(cursor: Cursor, depth: number): GgufValue & { type: 'array' } {
  if (depth > MAX_NESTING) fail(cursor, `arrays are nested deeper than ${MAX_NESTING}`);
  if (depth > 1 && ++cursor.nestedArrays > MAX_NESTED_ARRAYS) fail(cursor, 'there are too many nested arrays');
  const elementType = readType(cursor);
  const limit = Math.min(
    MAX_ARRAY_ELEMENTS - cursor.arrayElements,
    Math.floor((cursor.fileSize - cursor.position) / MIN_BYTES[elementType]),
  );
  const count = readCount(cursor, limit, `array elements of ${elementType}`);
  cursor.arrayElements += count;
  const end = cursor.position + count * MIN_BYTES[elementType]; // at least
  if (end > cursor.fileSize) fail(cursor, `${count} elements of ${elementType} reach past the end of the file`);
  if (end > cursor.bytes.length) throw new NeedMoreBytes();
  const value: (Scalar | GgufArray)[] = [];
  if (elementType === 'array') for (let i = 0; i < count; i++) value.push(readArray(cursor, depth + 1).value);
  else {
    const read = SCALAR_READERS[elementType];
    for (let i = 0; i < count; i++) value.push(read(cursor));
  }
  return { type: 'array', elementType, value };
}

function readMetadata(cursor: Cursor, count: number): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = readString(cursor, MAX_NAME_BYTES);
    if (metadata.has(key)) fail(cursor, `metadata key ${quoted(key)} is there twice`);
    metadata.set(key, readValue(cursor));
  }
  return metadata;
}

function readEntries(cursor: Cursor, count: number): GgufTensorEntry[] {
  const names = new Set<string>();
  return Array.from({ length: count }, () => {
    const name = readString(cursor, MAX_NAME_BYTES);
    if (names.has(name)) fail(cursor, `tensor ${quoted(name)} is there twice`);
    names.add(name);
    const rank = u32(cursor);
    if (rank > 4) fail(cursor, `tensor ${quoted(name)} has ${rank} dimensions, at most 4 can be`);
    const dimensions = Array.from({ length: rank }, () => readCount(cursor, Number.MAX_SAFE_INTEGER, 'values'));
    const typeNumber = u32(cursor);
    const offset = readCount(cursor, cursor.fileSize, 'as the offset of a tensor');
    return { name, dimensions, typeNumber, offset };
  });
}

/** Parses the header from the first bytes of a file; throws NeedMoreBytes if they are too few, else a FormatError. */
export function parseGgufHeader(bytes: Buffer, fileSize: number, where: string): GgufHeader {
  const cursor: Cursor = { bytes, fileSize, where, position: 0, nestedArrays: 0, arrayElements: 0 };
  if (fileSize < 24 || bytes.toString('latin1', 0, 4) !== 'GGUF') throw new FormatError(`${where}: is no GGUF file`);
  take(cursor, 4);
  const version = u32(cursor);
  if (version !== 2 && version !== 3) {
    const why = version > 0xffff ? 'is big-endian' : `has version ${version}`;
    throw new FormatError(`${where}: ${why}; little-endian GGUF of version 2 or 3 is read`);
  }
  const numTensors = readCount(cursor, MAX_ENTRIES, 'tensors');
  const numKeys = readCount(cursor, MAX_ENTRIES, 'metadata keys');
  const metadata = readMetadata(cursor, numKeys);
  const entries = readEntries(cursor, numTensors);
  const alignment = alignmentOf(metadata, where);
  return { version, metadata, entries, alignment, dataOffset: Math.ceil(cursor.position / alignment) * alignment };
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>, where: string): number {
  const value = metadata.get('general.alignment')?.value ?? DEFAULT_ALIGNMENT;
  const isValid =
    typeof value === 'number' && value >= 1 && value <= MAX_ALIGNMENT && Number.isInteger(Math.log2(value));
  if (!isValid)
    throw new FormatError(`${where}: general.alignment must be a power of two, got ${String(value).slice(0, 40)}`);
  return value;
}
