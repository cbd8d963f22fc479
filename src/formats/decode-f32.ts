/**
 * Stored tensor bytes to float32: one function per stored type, chosen by a table.
 * Files are little-endian, and so is every machine the project supports.
 */
import { bf16ToF32 } from '../util/bfloat16.ts';
import { invariant } from '../util/errors.ts';
import { f16ToF32 } from '../util/float16.ts';
import { decodeIq4Xs, decodeQ2K, decodeQ3K, decodeQ4K, decodeQ5K, decodeQ6K } from './dequantise-k-blocks.ts';
import { decodeIq4Nl, decodeQ40, decodeQ41, decodeQ50, decodeQ51, decodeQ80 } from './dequantise-small-blocks.ts';
import { STORED_DTYPES, type StoredDType } from './stored-dtype.ts';

type Decoder = (bytes: Uint8Array, target: Float32Array) => void;
type ElementArray = Float64Array | Float32Array | Int32Array | Int16Array | Int8Array | Uint32Array | Uint16Array;

function elements<T>(view: new (buffer: ArrayBufferLike, offset: number, length: number) => T, bytesEach: number) {
  return (bytes: Uint8Array): T => {
    const aligned = bytes.byteOffset % bytesEach === 0 ? bytes : bytes.slice();
    return new view(aligned.buffer, aligned.byteOffset, aligned.length / bytesEach);
  };
}

function copied(view: (bytes: Uint8Array) => ElementArray | Uint8Array): Decoder {
  return (bytes, target) => target.set(view(bytes));
}

const uint16 = elements(Uint16Array, 2);
const int64 = elements(BigInt64Array, 8);

const DECODERS: Readonly<Record<StoredDType, Decoder>> = {
  F64: copied(elements(Float64Array, 8)),
  F32: copied(elements(Float32Array, 4)),
  F16: (bytes, target) => f16ToF32(uint16(bytes), target),
  BF16: (bytes, target) => bf16ToF32(uint16(bytes), target),
  I64: (bytes, target) => int64(bytes).forEach((value, i) => (target[i] = Number(value))),
  I32: copied(elements(Int32Array, 4)),
  I16: copied(elements(Int16Array, 2)),
  I8: copied(elements(Int8Array, 1)),
  U32: copied(elements(Uint32Array, 4)),
  U16: copied(uint16),
  U8: copied((bytes) => bytes),
  BOOL: (bytes, target) => bytes.forEach((value, i) => (target[i] = value === 0 ? 0 : 1)),
  Q4_0: decodeQ40,
  Q4_1: decodeQ41,
  Q5_0: decodeQ50,
  Q5_1: decodeQ51,
  Q8_0: decodeQ80,
  Q2_K: decodeQ2K,
  Q3_K: decodeQ3K,
  Q4_K: decodeQ4K,
  Q5_K: decodeQ5K,
  Q6_K: decodeQ6K,
  IQ4_NL: decodeIq4Nl,
  IQ4_XS: decodeIq4Xs,
};

/** Writes the float32 value of every stored element; `bytes` are whole blocks, `target` has one place per element. */
export function decodeToF32(dtype: StoredDType, bytes: Uint8Array, target: Float32Array): void {
  const { blockSize, blockBytes } = STORED_DTYPES[dtype];
  invariant((target.length / blockSize) * blockBytes === bytes.length, `internal: target size for ${dtype}`);
  DECODERS[dtype](bytes, target);
}
