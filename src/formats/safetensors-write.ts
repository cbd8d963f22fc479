/**
 * Writing safetensors files: the header comes from the declared tensors, their bytes are pulled one tensor at a time.
 * Atomic: the old file stays until the new one is complete on disk. Format: huggingface/safetensors README.
 */
import { type ByteSink, writeFileAtomic } from '../util/atomic-file.ts';
import { invariant } from '../util/errors.ts';
import { type PlainDType, STORED_DTYPES, storedBytes } from './stored-dtype.ts';
import { quoted } from './tensor-source.ts';

/** Bytes of one tensor in pieces of any size; pulled when its turn comes, so only one tensor is in memory. */
export type ByteChunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

export interface TensorToWrite {
  readonly name: string;
  readonly dtype: PlainDType;
  readonly shape: readonly number[];
  readonly chunks: () => ByteChunks;
}

/** A tensor that is already in memory, as one to write; `data` holds the elements in the dtype's own layout. */
export function tensorInMemory(
  name: string,
  dtype: PlainDType,
  shape: readonly number[],
  data: ArrayBufferView,
): TensorToWrite {
  return { name, dtype, shape, chunks: () => [new Uint8Array(data.buffer, data.byteOffset, data.byteLength)] };
}

/**
 * Creates or replaces `path`. Tensors are written in the given order, except that wider elements go first
 * (so that every tensor is aligned to its element size, as the reference writer does).
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const ordered = tensors.toSorted((a, b) => STORED_DTYPES[b.dtype].blockBytes - STORED_DTYPES[a.dtype].blockBytes);
  const header = headerBytes(ordered, metadata);
  await writeFileAtomic(path, async (sink) => {
    await sink.write(header);
    for (const tensor of ordered) await writeTensor(sink, tensor);
  });
}

function headerBytes(tensors: readonly TensorToWrite[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const entries: [string, unknown][] = Object.keys(metadata).length > 0 ? [['__metadata__', metadata]] : [];
  const names = new Set<string>(['__metadata__']);
  let position = 0;
  for (const { name, dtype, shape } of tensors) {
    invariant(!names.has(name), `internal: tensor name ${quoted(name)} twice`);
    names.add(name);
    const end = position + storedBytes(dtype, shape, name);
    entries.push([name, { dtype, shape, data_offsets: [position, end] }]);
    position = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const padded = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded).fill(0x20, 8); // spaces up to the alignment the format asks for
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(json, 8);
  return bytes;
}

async function writeTensor(sink: ByteSink, tensor: TensorToWrite): Promise<void> {
  const expected = storedBytes(tensor.dtype, tensor.shape, tensor.name);
  const start = sink.position;
  for await (const chunk of tensor.chunks()) await sink.write(chunk);
  invariant(
    sink.position - start === expected,
    `internal: tensor ${quoted(tensor.name)} gave ${sink.position - start} bytes, its shape takes ${expected}`,
  );
}
