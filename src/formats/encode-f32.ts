/**
 * Float32 to stored tensor bytes: one function per stored type, chosen by a table; the inverse of decode-f32.ts.
 * `values` holds whole blocks. Conversions to narrower types round to nearest, ties to even.
 */
import { f32ToBf16 } from '../util/bfloat16.ts';
import { invariant } from '../util/errors.ts';
import { f32ToF16 } from '../util/float16.ts';
import { encodeQ4K, encodeQ5K, encodeQ6K } from './quantise-k-blocks.ts';
import { encodeQ40, encodeQ41, encodeQ50, encodeQ51, encodeQ80 } from './quantise-small-blocks.ts';
import { STORED_DTYPES, type StoredDType } from './stored-dtype.ts';

type Encoder = (values: Float32Array, target: Uint8Array) => void;

function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

const ENCODERS: Readonly<Partial<Record<StoredDType, Encoder>>> = {
  F64: (values, target) => target.set(bytesOf(Float64Array.from(values))),
  F32: (values, target) => target.set(bytesOf(values)),
  F16: (values, target) => f32ToF16(values, halves(target)),
  BF16: (values, target) => f32ToBf16(values, halves(target)),
  Q4_0: encodeQ40,
  Q4_1: encodeQ41,
  Q5_0: encodeQ50,
  Q5_1: encodeQ51,
  Q8_0: encodeQ80,
  Q4_K: encodeQ4K,
  Q5_K: encodeQ5K,
  Q6_K: encodeQ6K,
};

function halves(target: Uint8Array): Uint16Array {
  return new Uint16Array(target.buffer, target.byteOffset, target.length / 2);
}

/** Fills `target` (aligned to the element size) with `values` stored as `dtype`. */
export function encodeFromF32(dtype: StoredDType, values: Float32Array, target: Uint8Array): void {
  const { blockSize, blockBytes } = STORED_DTYPES[dtype];
  invariant((values.length / blockSize) * blockBytes === target.length, `internal: target size for ${dtype}`);
  const encoder = ENCODERS[dtype];
  invariant(encoder !== undefined, `internal: no encoder for ${dtype}`);
  encoder(values, target);
}
