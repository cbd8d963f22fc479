/**
 * Writing a flat dictionary of tensors as a .pth file that torch.load(weights_only=True) opens.
 * Sources: torch/serialization.py `_save` (archive layout); CPython Lib/pickletools.py (opcodes, protocol 2).
 */
import { writeFileAtomic } from '../util/atomic-file.ts';
import { invariant } from '../util/errors.ts';
import type { TensorToWrite } from './safetensors-write.ts';
import { elementCount, storedBytes, type PlainDType } from './stored-dtype.ts';
import { zipWriter } from './zip-write.ts';

/** A second name for a tensor that is written anyway; torch then shares its memory. */
export interface TensorAlias {
  readonly name: string;
  readonly aliasOf: string;
}

const STORAGE_TYPES: Readonly<Partial<Record<PlainDType, string>>> = {
  F64: 'DoubleStorage',
  F32: 'FloatStorage',
  F16: 'HalfStorage',
  BF16: 'BFloat16Storage',
  I64: 'LongStorage',
  I32: 'IntStorage',
  I16: 'ShortStorage',
  I8: 'CharStorage',
  U8: 'ByteStorage',
  BOOL: 'BoolStorage',
};

/** Creates or replaces `path`, atomically; `archiveName` is the folder inside the archive (torch uses the file's stem). */
export async function writeTorchFile(
  path: string,
  tensors: readonly TensorToWrite[],
  aliases: readonly TensorAlias[] = [],
  archiveName = 'archive',
): Promise<void> {
  const pickle = pickledDictionary(tensors, aliases);
  await writeFileAtomic(path, async (sink) => {
    const zip = zipWriter(sink);
    const text = new TextEncoder();
    await zip.add(`${archiveName}/data.pkl`, pickle.length, [pickle]);
    await zip.add(`${archiveName}/byteorder`, 6, [text.encode('little')]);
    for (const [index, { dtype, shape, name, chunks }] of tensors.entries()) {
      await zip.add(`${archiveName}/data/${index}`, storedBytes(dtype, shape, name), chunks());
    }
    await zip.add(`${archiveName}/version`, 2, [text.encode('3\n')]);
    await zip.finish();
  });
}

const MARK = 0x28;
const TUPLE = 0x74;

function pickledDictionary(tensors: readonly TensorToWrite[], aliases: readonly TensorAlias[]): Uint8Array {
  const bytes: number[] = [0x80, 2, 0x7d, MARK]; // PROTO 2, EMPTY_DICT
  const indexOf = new Map(tensors.map(({ name }, index) => [name, index]));
  for (const [index, tensor] of tensors.entries()) pushTensor(bytes, tensor.name, tensor, index);
  for (const { name, aliasOf } of aliases) {
    const index = indexOf.get(aliasOf);
    invariant(index !== undefined, `internal: alias of unknown tensor ${aliasOf}`);
    pushTensor(bytes, name, tensors[index]!, index);
  }
  bytes.push(0x75, 0x2e); // SETITEMS, STOP
  return Uint8Array.from(bytes);
}

/** name, then _rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict()). */
function pushTensor(bytes: number[], name: string, { dtype, shape }: TensorToWrite, index: number): void {
  const storageType = STORAGE_TYPES[dtype];
  invariant(storageType !== undefined, `internal: no torch storage for ${dtype}`);
  pushText(bytes, name);
  pushGlobal(bytes, 'torch._utils', '_rebuild_tensor_v2');
  bytes.push(MARK, MARK);
  pushText(bytes, 'storage');
  pushGlobal(bytes, 'torch', storageType);
  pushText(bytes, String(index));
  pushText(bytes, 'cpu');
  pushInteger(bytes, elementCount(shape, name));
  bytes.push(TUPLE, 0x51); // BINPERSID
  pushInteger(bytes, 0);
  pushIntegers(bytes, shape);
  pushIntegers(bytes, contiguousStrides(shape));
  bytes.push(0x89); // NEWFALSE: requires_grad
  pushGlobal(bytes, 'collections', 'OrderedDict');
  bytes.push(0x29, 0x52, TUPLE, 0x52); // EMPTY_TUPLE, REDUCE, TUPLE, REDUCE
}

function contiguousStrides(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
}

function pushText(bytes: number[], text: string): void {
  const encoded = new TextEncoder().encode(text);
  const length = encoded.length;
  bytes.push(0x58, length & 255, (length >>> 8) & 255, (length >>> 16) & 255, length >>> 24, ...encoded); // BINUNICODE
}

function pushGlobal(bytes: number[], module: string, name: string): void {
  bytes.push(0x63, ...new TextEncoder().encode(`${module}\n${name}\n`)); // GLOBAL
}

function pushIntegers(bytes: number[], values: readonly number[]): void {
  bytes.push(MARK);
  for (const value of values) pushInteger(bytes, value);
  bytes.push(TUPLE);
}

function pushInteger(bytes: number[], value: number): void {
  if (value < 2 ** 31)
    bytes.push(0x4a, value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24); // BININT
  else {
    bytes.push(0x8a, 8); // LONG1
    for (let rest = BigInt(value), i = 0; i < 8; i++, rest >>= 8n) bytes.push(Number(rest & 255n));
  }
}
