/**
 * Reading safetensors files: the header is validated in full before any tensor is touched, tensors are read one by one.
 * Knows nothing about models. Format: huggingface/safetensors README ("Format"): u64 header length, JSON, tensor bytes.
 */
import { z } from 'zod';
import { FormatError } from '../util/errors.ts';
import { checkSchema, parseBoundedJson } from './bounded-json.ts';
import { FileReader } from './file-reader.ts';
import { isPlainDType, storedBytes, type PlainDType } from './stored-dtype.ts';
import { quoted, readTensorBytes, rowOffset, tensorInfo, type TensorInfo, type TensorSource } from './tensor-source.ts';

/** What holds the elements of each dtype in memory; half precision stays as its 16 bits. */
export interface PlainArrays {
  F64: Float64Array<ArrayBuffer>;
  F32: Float32Array<ArrayBuffer>;
  F16: Uint16Array<ArrayBuffer>;
  BF16: Uint16Array<ArrayBuffer>;
  I64: BigInt64Array<ArrayBuffer>;
  I32: Int32Array<ArrayBuffer>;
  I16: Int16Array<ArrayBuffer>;
  I8: Int8Array<ArrayBuffer>;
  U32: Uint32Array<ArrayBuffer>;
  U16: Uint16Array<ArrayBuffer>;
  U8: Uint8Array<ArrayBuffer>;
  BOOL: Uint8Array<ArrayBuffer>;
}

const ARRAY_OF: { readonly [D in PlainDType]: new (buffer: ArrayBuffer) => PlainArrays[D] } = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U32: Uint32Array,
  U16: Uint16Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};

export interface SafetensorsInfo extends TensorInfo {
  readonly dtype: PlainDType;
  /** From the start of the file. */
  readonly byteOffset: number;
}

const MAX_HEADER_BYTES = 100_000_000; // the limit of the reference implementation
const MAX_NAMES = 200; // in one message
const HEADER_BOUNDS = { maxDepth: 3, maxItems: 4_000_000 };

const size = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const entrySchema = z.strictObject({
  dtype: z.string(),
  shape: z.array(size).max(16),
  data_offsets: z.tuple([size, size]),
});
const headerSchema = z.record(z.string(), z.unknown());
const metadataSchema = z.record(z.string(), z.string());

/** An open safetensors file; `close` it when done. */
export class SafetensorsFile implements TensorSource {
  readonly path: string;
  /** The free-form `__metadata__` strings. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, SafetensorsInfo>;
  readonly #reader: FileReader;

  constructor(reader: FileReader, metadata: Record<string, string>, tensors: Map<string, SafetensorsInfo>) {
    this.path = reader.path;
    this.metadata = metadata;
    this.tensors = tensors;
    this.#reader = reader;
  }

  /** One whole tensor in the array type of its dtype; throws a FormatError if `dtype` is given and differs. */
  async read<D extends PlainDType = PlainDType>(name: string, dtype?: D): Promise<PlainArrays[D]> {
    const info = tensorInfo(this, name) as SafetensorsInfo;
    if (dtype !== undefined && info.dtype !== dtype) {
      throw new FormatError(`${this.path}: tensor ${quoted(name)} is ${info.dtype}, expected ${dtype}`);
    }
    const bytes = await readTensorBytes(this, name);
    return new ARRAY_OF[info.dtype as D](bytes.buffer);
  }

  async readRows(name: string, firstRow: number, target: Uint8Array): Promise<void> {
    const info = tensorInfo(this, name) as SafetensorsInfo;
    await this.#reader.readInto(info.byteOffset + rowOffset(info, firstRow, target), target);
  }

  close(): Promise<void> {
    return this.#reader.close();
  }
}

/** Opens and validates a safetensors file; throws a FormatError naming the file and what is wrong with it. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const reader = await FileReader.open(path);
  try {
    const { header, dataStart } = await readHeader(reader);
    const { __metadata__: metadata, ...entries } = header;
    const checkedMetadata =
      metadata === undefined ? {} : checkSchema(metadataSchema, metadata, `${path}: __metadata__`);
    return new SafetensorsFile(reader, checkedMetadata, tensorTable(entries, dataStart, reader));
  } catch (error) {
    await reader.close();
    throw error;
  }
}

async function readHeader(reader: FileReader): Promise<{ header: Record<string, unknown>; dataStart: number }> {
  const { path } = reader;
  if (reader.size < 8) throw new FormatError(`${path}: is too short (${reader.size} bytes) for a safetensors file`);
  const prefix = await reader.read(0, 8);
  const headerBytes = new DataView(prefix.buffer).getBigUint64(0, true);
  if (headerBytes > BigInt(Math.min(MAX_HEADER_BYTES, reader.size - 8))) {
    throw new FormatError(
      `${path}: claims a header of ${headerBytes} bytes in a file of ${reader.size}; it is cut off or no safetensors file`,
    );
  }
  const bytes = await reader.read(8, Number(headerBytes));
  if (bytes[0] !== 0x7b) throw new FormatError(`${path}: is no safetensors file (the header does not start with "{")`);
  const header = checkSchema(headerSchema, parseBoundedJson(bytes, HEADER_BOUNDS, path), path);
  return { header, dataStart: 8 + bytes.length };
}

function tensorTable(
  entries: Record<string, unknown>,
  dataStart: number,
  reader: FileReader,
): Map<string, SafetensorsInfo> {
  const { path } = reader;
  const tensors = new Map<string, SafetensorsInfo>();
  for (const [name, raw] of Object.entries(entries)) {
    const where = `${path}: tensor ${quoted(name)}`;
    const { dtype, shape, data_offsets: offsets } = checkSchema(entrySchema, raw, where);
    if (!isPlainDType(dtype)) throw new FormatError(`${where}: dtype ${quoted(dtype)} is not one cria reads`);
    const byteLength = storedBytes(dtype, shape, where);
    const [begin, end] = offsets;
    if (end - begin !== byteLength) {
      throw new FormatError(`${where}: ${dtype} [${shape}] takes ${byteLength} bytes, its offsets span ${end - begin}`);
    }
    const byteOffset = dataStart + begin;
    tensors.set(name, { dtype, shape, byteLength, byteOffset, location: { path, byteOffset } });
  }
  checkContiguous(tensors, dataStart, reader);
  return tensors;
}

/** The format demands that tensors cover the data without holes or overlaps, and nothing follows them. */
function checkContiguous(tensors: Map<string, SafetensorsInfo>, dataStart: number, reader: FileReader): void {
  const inOrder = [...tensors].toSorted(([, a], [, b]) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength);
  let position = dataStart;
  for (const [name, info] of inOrder) {
    if (info.byteOffset !== position) {
      const fault = info.byteOffset < position ? 'overlaps the tensor before it' : 'leaves a hole before it';
      throw new FormatError(`${reader.path}: tensor ${quoted(name)} at byte ${info.byteOffset} ${fault}`);
    }
    position += info.byteLength;
  }
  if (position === reader.size) return;
  const lost = inOrder.filter(([, info]) => info.byteOffset + info.byteLength > reader.size);
  const names = lost.slice(0, MAX_NAMES).map(([name]) => quoted(name));
  throw new FormatError(
    `${reader.path}: tensors end at byte ${position}, the file at ${reader.size}; it is cut off or damaged` +
      (lost.length === 0 ? '' : `, which concerns ${lost.length} tensors: ${names.join(', ')}`),
  );
}
