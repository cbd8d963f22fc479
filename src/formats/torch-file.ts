/**
 * Reading a .pth file as torch.save writes it: a zip archive of one pickle and one member per storage.
 * Nothing in it is executed. Stored members are read in place; compressed ones are inflated whole, up to a bound.
 * Source: torch/serialization.py `_save`, caffe2/serialize/inline_container.cc.
 */
import { FormatError } from '../util/errors.ts';
import { FileReader } from './file-reader.ts';
import { elementCount, STORED_DTYPES, storedBytes } from './stored-dtype.ts';
import { readTensorPickle, type PickledTensor } from './tensor-pickle.ts';
import { quoted, rowLayout, rowOffset, tensorInfo, type TensorInfo, type TensorSource } from './tensor-source.ts';
import { openZipMembers, type ZipMember, type ZipMembers } from './zip-members.ts';

const MAX_PICKLE_BYTES = 2 ** 25;
const MAX_INFLATED_BYTES = 2 ** 28; // torch.save never compresses; what was repacked by hand may

/** Where the rows of one tensor lie: a member, the first byte within it, and the distance between rows. */
interface Placement {
  readonly member: ZipMember;
  readonly start: number;
  readonly rowStrideBytes: number;
}

/** Opens a .pth file; throws a FormatError for anything but a plain dictionary of tensors. */
export async function openTorchFile(path: string): Promise<TensorSource> {
  const reader = await FileReader.open(path);
  let zip: ZipMembers | null = null;
  try {
    await checkSignature(reader);
    zip = await openZipMembers(reader);
    const root = archiveRoot(zip, path);
    const pickle = await zip.read(zip.members.get(`${root}data.pkl`)!, MAX_PICKLE_BYTES);
    await checkByteOrder(zip, root, path);
    const placements = new Map<string, Placement>();
    const tensors = new Map<string, TensorInfo>();
    for (const [name, tensor] of readTensorPickle(pickle, path)) {
      const placement = place(tensor, zip.members, root, `${path}: tensor ${quoted(name)}`);
      placements.set(name, placement);
      tensors.set(name, infoOf(tensor, placement, path, name));
    }
    return torchSource(path, reader, zip, tensors, placements);
  } catch (error) {
    zip?.close();
    await reader.close();
    throw error;
  }
}

async function checkSignature(reader: FileReader): Promise<void> {
  const start = await reader.read(0, Math.min(4, reader.size));
  if (start[0] === 0x50 && start[1] === 0x4b) return;
  throw new FormatError(
    `${reader.path}: is no zip archive; files of torch before 1.6 must be saved again with a newer one`,
  );
}

function archiveRoot(zip: ZipMembers, path: string): string {
  const pickles = [...zip.members.keys()].filter((name) => /^[^/]*\/data\.pkl$/.test(name));
  if (pickles.length !== 1) throw new FormatError(`${path}: holds ${pickles.length} data.pkl, expected one`);
  return pickles[0]!.slice(0, -'data.pkl'.length);
}

async function checkByteOrder(zip: ZipMembers, root: string, path: string): Promise<void> {
  const member = zip.members.get(`${root}byteorder`);
  if (member === undefined) return; // before torch 2.1; little-endian in practice
  const order = new TextDecoder().decode(await zip.read(member, 16));
  if (order !== 'little') throw new FormatError(`${path}: is ${quoted(order)}-endian, only little-endian is read`);
}

function place(tensor: PickledTensor, members: ReadonlyMap<string, ZipMember>, root: string, where: string): Placement {
  const member = members.get(`${root}data/${tensor.storageKey}`);
  if (member === undefined) throw new FormatError(`${where}: its data member ${quoted(tensor.storageKey)} is missing`);
  const { blockBytes } = STORED_DTYPES[tensor.dtype];
  if (member.uncompressedBytes !== tensor.storageElements * blockBytes) {
    throw new FormatError(
      `${where}: its data has ${member.uncompressedBytes} bytes, ${tensor.storageElements} ${tensor.dtype} are claimed`,
    );
  }
  const { shape, strides } = tensor;
  const count = elementCount(shape, where);
  let last = tensor.elementOffset;
  let contiguous = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis]! > 1) {
      const isFreeRowStride = axis === 0 && shape.length === 2 && strides[axis]! >= contiguous;
      if (strides[axis] !== contiguous && !isFreeRowStride) throw new FormatError(`${where}: is not stored row by row`);
      last += (shape[axis]! - 1) * strides[axis]!;
    }
    contiguous *= shape[axis]!;
  }
  if (count > 0 && !(last < tensor.storageElements))
    throw new FormatError(`${where}: reaches past the end of its data`);
  const rowStride = shape.length >= 2 && shape[0]! > 1 ? strides[0]! : contiguous;
  return { member, start: tensor.elementOffset * blockBytes, rowStrideBytes: rowStride * blockBytes };
}

function infoOf(
  tensor: PickledTensor,
  { member, start, rowStrideBytes }: Placement,
  path: string,
  name: string,
): TensorInfo {
  const { dtype, shape } = tensor;
  const byteLength = storedBytes(dtype, shape, `${path}: tensor ${quoted(name)}`);
  const info = { dtype, shape, byteLength, location: null };
  const isWhole = rowLayout(info).numRows <= 1 || rowStrideBytes === rowLayout(info).rowBytes;
  if (member.byteOffset === null || !isWhole) return info;
  return { ...info, location: { path, byteOffset: member.byteOffset + start } };
}

function torchSource(
  path: string,
  reader: FileReader,
  zip: ZipMembers,
  tensors: ReadonlyMap<string, TensorInfo>,
  placements: ReadonlyMap<string, Placement>,
): TensorSource {
  let inflated: { readonly member: ZipMember; readonly bytes: Uint8Array } | null = null;

  async function readAt(member: ZipMember, offset: number, target: Uint8Array): Promise<void> {
    if (member.byteOffset !== null) return reader.readInto(member.byteOffset + offset, target);
    if (inflated?.member !== member) inflated = { member, bytes: await zip.read(member, MAX_INFLATED_BYTES) };
    target.set(inflated.bytes.subarray(offset, offset + target.length));
  }

  return {
    path,
    tensors,
    async readRows(name, firstRow, target) {
      const info = tensorInfo(this, name);
      const { member, start, rowStrideBytes } = placements.get(name)!;
      const offset = rowOffset(info, firstRow, target);
      const { numRows, rowBytes } = rowLayout(info);
      if (numRows <= 1 || rowStrideBytes === rowBytes) return readAt(member, start + offset, target);
      for (let row = 0; row * rowBytes < target.length; row++) {
        const part = target.subarray(row * rowBytes, (row + 1) * rowBytes);
        await readAt(member, start + (firstRow + row) * rowStrideBytes, part);
      }
    },
    async close() {
      zip.close();
      await reader.close();
    },
  };
}
