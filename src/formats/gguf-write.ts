/**
 * Writing GGUF files (version 3): typed metadata, then tensors streamed one after the other. Atomic.
 * Knows nothing about models. Source: ggml docs/gguf.md.
 */
import { writeFileAtomic, type ByteSink } from '../util/atomic-file.ts';
import { invariant } from '../util/errors.ts';
import { GGUF_TYPES, type GgufArray, type GgufType, type GgufValue } from './gguf-header.ts';
import type { ByteChunks } from './safetensors-write.ts';
import { STORED_DTYPES, storedBytes, type StoredDType } from './stored-dtype.ts';
import { quoted } from './tensor-source.ts';

export interface GgufTensorToWrite {
  readonly name: string;
  readonly dtype: StoredDType;
  /** Rows first, as everywhere here; stored innermost first. */
  readonly shape: readonly number[];
  readonly chunks: () => ByteChunks;
}

const ALIGNMENT = 32;

/** Creates or replaces `path` with the metadata and tensors in the given order. */
export async function writeGguf(
  path: string,
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensorToWrite[],
): Promise<void> {
  const header = headerBytes(metadata, tensors);
  await writeFileAtomic(path, async (sink) => {
    await sink.write(header);
    await pad(sink);
    for (const { name, dtype, shape, chunks } of tensors) {
      const start = sink.position;
      for await (const chunk of chunks()) await sink.write(chunk);
      invariant(
        sink.position - start === storedBytes(dtype, shape, name),
        `internal: tensor ${quoted(name)} gave ${sink.position - start} bytes`,
      );
      await pad(sink);
    }
  });
}

async function pad(sink: ByteSink): Promise<void> {
  await sink.write(new Uint8Array(aligned(sink.position) - sink.position));
}

function aligned(position: number): number {
  return Math.ceil(position / ALIGNMENT) * ALIGNMENT;
}

function headerBytes(metadata: ReadonlyMap<string, GgufValue>, tensors: readonly GgufTensorToWrite[]): Buffer {
  invariant(!metadata.has('general.alignment'), 'internal: the writer uses the default alignment');
  const parts: Buffer[] = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(metadata.size)];
  for (const [key, value] of metadata) {
    parts.push(text(key), u32(GGUF_TYPES.indexOf(value.type)));
    if (value.type === 'array') pushArray(parts, value.elementType, value.value);
    else parts.push(scalarBytes(value.type, value.value));
  }
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    const { ggmlType } = STORED_DTYPES[dtype];
    invariant(ggmlType !== null, `internal: GGUF has no type ${dtype}`);
    parts.push(text(name), u32(shape.length), ...shape.toReversed().map(u64), u32(ggmlType), u64(offset));
    offset = aligned(offset + storedBytes(dtype, shape, name));
  }
  return Buffer.concat(parts);
}

function pushArray(parts: Buffer[], elementType: GgufType, values: GgufArray): void {
  parts.push(u32(GGUF_TYPES.indexOf(elementType)), u64(values.length));
  for (const value of values) {
    invariant(elementType !== 'array' && !Array.isArray(value), 'internal: arrays of arrays are not written');
    parts.push(scalarBytes(elementType, value as Scalar));
  }
}

type Scalar = number | bigint | boolean | string;

function u32(value: number): Buffer {
  return Buffer.from(Uint32Array.of(value).buffer);
}

function u64(value: number | bigint): Buffer {
  return Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

const SCALAR_BYTES: Readonly<Record<Exclude<GgufType, 'array'>, (value: Scalar) => Buffer>> = {
  uint8: (value) => Buffer.of(Number(value)),
  int8: (value) => Buffer.from(Int8Array.of(Number(value)).buffer),
  uint16: (value) => Buffer.from(Uint16Array.of(Number(value)).buffer),
  int16: (value) => Buffer.from(Int16Array.of(Number(value)).buffer),
  uint32: (value) => u32(Number(value)),
  int32: (value) => Buffer.from(Int32Array.of(Number(value)).buffer),
  float32: (value) => Buffer.from(Float32Array.of(Number(value)).buffer),
  bool: (value) => Buffer.of(value === true ? 1 : 0),
  string: (value) => text(String(value)),
  uint64: (value) => u64(BigInt(value)),
  int64: (value) => Buffer.from(BigInt64Array.of(BigInt(value)).buffer),
  float64: (value) => Buffer.from(Float64Array.of(Number(value)).buffer),
};

function scalarBytes(type: Exclude<GgufType, 'array'>, value: Scalar): Buffer {
  return SCALAR_BYTES[type](value);
}
