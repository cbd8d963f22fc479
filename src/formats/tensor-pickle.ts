/**
 * A pickle reader that can build tensors, containers and numbers and nothing else: it never imports or calls anything.
 * Every other opcode or global is refused by name, so a hostile checkpoint cannot run code.
 * Sources: CPython Lib/pickletools.py (opcodes); torch/_utils.py `_rebuild_tensor_v2`; torch/serialization.py (storages).
 */
import { FormatError } from '../util/errors.ts';
import type { PlainDType } from './stored-dtype.ts';

/** A tensor as the pickle describes it; its elements lie in the archive member `storageKey`. */
export interface PickledTensor {
  readonly dtype: PlainDType;
  readonly storageKey: string;
  readonly storageElements: number;
  /** First element of the tensor within its storage. */
  readonly elementOffset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

class PickledGlobal {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

class PickledStorage {
  readonly dtype: PlainDType;
  readonly key: string;
  readonly elements: number;
  constructor(dtype: PlainDType, key: string, elements: number) {
    this.dtype = dtype;
    this.key = key;
    this.elements = elements;
  }
}

class PickledTensorValue {
  readonly tensor: PickledTensor;
  constructor(tensor: PickledTensor) {
    this.tensor = tensor;
  }
}

type Dictionary = Map<string | number, PickleValue>;
type PickleValue =
  null | boolean | number | string | PickleValue[] | Dictionary | PickledGlobal | PickledStorage | PickledTensorValue;

const STORAGE_DTYPES: Readonly<Record<string, PlainDType>> = {
  'torch.DoubleStorage': 'F64',
  'torch.FloatStorage': 'F32',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.LongStorage': 'I64',
  'torch.IntStorage': 'I32',
  'torch.ShortStorage': 'I16',
  'torch.CharStorage': 'I8',
  'torch.ByteStorage': 'U8',
  'torch.BoolStorage': 'BOOL',
};

const REBUILD_TENSOR = 'torch._utils._rebuild_tensor_v2';
const REBUILD_PARAMETER = 'torch._utils._rebuild_parameter';
const ORDERED_DICT = 'collections.OrderedDict';
const ALLOWED_GLOBALS = new Set([...Object.keys(STORAGE_DTYPES), REBUILD_TENSOR, REBUILD_PARAMETER, ORDERED_DICT]);

const MAX_STEPS = 4_000_000; // a 405B checkpoint takes under 100,000

interface Machine {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly where: string;
  readonly stack: PickleValue[];
  /** Stack heights at which MARK was seen. */
  readonly marks: number[];
  readonly memo: Map<number, PickleValue>;
  position: number;
}

function fail(machine: Machine, problem: string): never {
  throw new FormatError(`${machine.where}: pickle at byte ${machine.position}: ${problem}`);
}

/** Moves over `length` bytes and returns where they began. */
function take(machine: Machine, length: number): number {
  const start = machine.position;
  if (start + length > machine.bytes.length) fail(machine, 'ends in the middle of a value');
  machine.position = start + length;
  return start;
}

function pop(machine: Machine): PickleValue {
  const floor = machine.marks.at(-1) ?? 0;
  if (machine.stack.length <= floor) fail(machine, 'takes a value from an empty stack');
  return machine.stack.pop()!;
}

function popToMark(machine: Machine): PickleValue[] {
  const mark = machine.marks.pop();
  if (mark === undefined) fail(machine, 'closes a group that was never opened');
  return machine.stack.splice(mark);
}

function readText(machine: Machine, length: number): string {
  const start = take(machine, length);
  return new TextDecoder().decode(machine.bytes.subarray(start, start + length));
}

function readLine(machine: Machine): string {
  const end = machine.bytes.indexOf(0x0a, machine.position);
  if (end < 0 || end - machine.position > 256) fail(machine, 'has a global name without end');
  const line = readText(machine, end - machine.position);
  take(machine, 1);
  return line;
}

function pushGlobal(machine: Machine, module: string, name: string): void {
  const full = `${module}.${name}`;
  if (!ALLOWED_GLOBALS.has(full)) {
    fail(
      machine,
      `wants to use ${JSON.stringify(full.slice(0, 100))}; only tensors are read, this file may be malicious`,
    );
  }
  machine.stack.push(new PickledGlobal(full));
}

function pushMemo(machine: Machine, index: number): void {
  const value = machine.memo.get(index);
  if (value === undefined) fail(machine, `refers to value ${index}, which does not exist`);
  machine.stack.push(value);
}

function remember(machine: Machine, index: number): void {
  const value = pop(machine);
  machine.memo.set(index, value);
  machine.stack.push(value);
}

function pushTuple(machine: Machine, length: number): void {
  const items: PickleValue[] = [];
  for (let i = 0; i < length; i++) items.unshift(pop(machine));
  machine.stack.push(items);
}

function setItems(machine: Machine, items: readonly PickleValue[]): void {
  const target = pop(machine);
  if (!(target instanceof Map) || items.length % 2 !== 0)
    fail(machine, 'sets items of something that is no dictionary');
  for (let i = 0; i < items.length; i += 2) {
    const key = items[i]!;
    if (typeof key !== 'string' && typeof key !== 'number')
      fail(machine, 'has a dictionary key that is no text or number');
    target.set(key, items[i + 1]!);
  }
  machine.stack.push(target);
}

function appendItems(machine: Machine, items: readonly PickleValue[]): void {
  const target = pop(machine);
  if (!Array.isArray(target)) fail(machine, 'appends to something that is no list');
  for (const item of items) target.push(item);
  machine.stack.push(target);
}

/** ('storage', type, key, location, elements): how torch names a block of memory of the archive. */
function pushStorage(machine: Machine): void {
  const id = pop(machine);
  const [tag, type, key, , elements] = Array.isArray(id) ? id : [];
  const dtype = type instanceof PickledGlobal ? STORAGE_DTYPES[type.name] : undefined;
  if (tag !== 'storage' || dtype === undefined || typeof key !== 'string' || !isCount(elements)) {
    fail(machine, 'has a storage reference of an unknown kind');
  }
  machine.stack.push(new PickledStorage(dtype, key, elements));
}

function reduce(machine: Machine): void {
  const args = pop(machine);
  const callee = pop(machine);
  if (!(callee instanceof PickledGlobal) || !Array.isArray(args))
    fail(machine, 'calls something that cannot be called');
  if (callee.name === ORDERED_DICT && args.length === 0) machine.stack.push(new Map());
  else if (callee.name === REBUILD_TENSOR) machine.stack.push(rebuildTensor(machine, args));
  else if (callee.name === REBUILD_PARAMETER && args[0] instanceof PickledTensorValue) machine.stack.push(args[0]);
  else fail(machine, `calls ${callee.name} with arguments that are not understood`);
}

function rebuildTensor(machine: Machine, args: readonly PickleValue[]): PickledTensorValue {
  const [storage, elementOffset, shape, strides] = args;
  if (!(storage instanceof PickledStorage) || !isCount(elementOffset) || !isCounts(shape) || !isCounts(strides)) {
    fail(machine, 'describes a tensor in a way that is not understood');
  }
  if (shape.length !== strides.length || shape.length > 16)
    fail(machine, 'describes a tensor with unequal shape and strides');
  const { dtype, key: storageKey, elements: storageElements } = storage;
  return new PickledTensorValue({ dtype, storageKey, storageElements, elementOffset, shape, strides });
}

function isCount(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isCounts(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}

/** A little-endian two's complement integer of `length` bytes. */
function readLong(machine: Machine, length: number): number {
  if (length > 8) fail(machine, `has an integer of ${length} bytes`);
  const start = take(machine, length);
  let value = 0n;
  for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(machine.bytes[start + i]!);
  const result = Number(BigInt.asIntN(length * 8, value));
  if (!Number.isSafeInteger(result)) fail(machine, 'has an integer that is too large');
  return result;
}

const u8 = (m: Machine): number => m.view.getUint8(take(m, 1));
const u32 = (m: Machine): number => m.view.getUint32(take(m, 4), true);

/** What is done for each opcode; a byte without a row is refused. STOP is handled by the loop. */
const OPERATIONS: Readonly<Record<number, (m: Machine) => void>> = {
  0x80: (m) => void (u8(m) > 5 && fail(m, 'is of an unknown protocol')), // PROTO
  0x95: (m) => void take(m, 8), // FRAME
  0x7d: (m) => m.stack.push(new Map()), // EMPTY_DICT
  0x5d: (m) => m.stack.push([]), // EMPTY_LIST
  0x29: (m) => m.stack.push([]), // EMPTY_TUPLE
  0x28: (m) => m.marks.push(m.stack.length), // MARK
  0x71: (m) => remember(m, u8(m)), // BINPUT
  0x72: (m) => remember(m, u32(m)), // LONG_BINPUT
  0x94: (m) => remember(m, m.memo.size), // MEMOIZE
  0x68: (m) => pushMemo(m, u8(m)), // BINGET
  0x6a: (m) => pushMemo(m, u32(m)), // LONG_BINGET
  0x58: (m) => m.stack.push(readText(m, u32(m))), // BINUNICODE
  0x8c: (m) => m.stack.push(readText(m, u8(m))), // SHORT_BINUNICODE
  0x4b: (m) => m.stack.push(u8(m)), // BININT1
  0x4d: (m) => m.stack.push(m.view.getUint16(take(m, 2), true)), // BININT2
  0x4a: (m) => m.stack.push(m.view.getInt32(take(m, 4), true)), // BININT
  0x8a: (m) => m.stack.push(readLong(m, u8(m))), // LONG1
  0x47: (m) => m.stack.push(m.view.getFloat64(take(m, 8), false)), // BINFLOAT
  0x4e: (m) => m.stack.push(null), // NONE
  0x88: (m) => m.stack.push(true), // NEWTRUE
  0x89: (m) => m.stack.push(false), // NEWFALSE
  0x74: (m) => m.stack.push(popToMark(m)), // TUPLE
  0x85: (m) => pushTuple(m, 1), // TUPLE1
  0x86: (m) => pushTuple(m, 2), // TUPLE2
  0x87: (m) => pushTuple(m, 3), // TUPLE3
  0x63: (m) => pushGlobal(m, readLine(m), readLine(m)), // GLOBAL
  0x93: (m) => {
    const [name, module] = [pop(m), pop(m)];
    pushGlobal(m, String(module), String(name));
  }, // STACK_GLOBAL
  0x51: pushStorage, // BINPERSID
  0x52: reduce, // REDUCE
  0x62: (m) => void (pop(m), m.stack.at(-1) instanceof Map || fail(m, 'sets attributes of an object')), // BUILD
  0x73: (m) => {
    const [value, key] = [pop(m), pop(m)];
    setItems(m, [key, value]);
  }, // SETITEM
  0x75: (m) => setItems(m, popToMark(m)), // SETITEMS
  0x61: (m) => appendItems(m, [pop(m)]), // APPEND
  0x65: (m) => appendItems(m, popToMark(m)), // APPENDS
};

const STOP = 0x2e;

/** The tensors of a pickled flat dictionary by name; other entries are ignored, anything callable is refused. */
export function readTensorPickle(bytes: Uint8Array, where: string): Map<string, PickledTensor> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const machine: Machine = { bytes, view, where, stack: [], marks: [], memo: new Map(), position: 0 };
  for (let steps = 0; ; steps++) {
    if (steps > MAX_STEPS) fail(machine, `takes more than ${MAX_STEPS} steps`);
    const opcode = u8(machine);
    if (opcode === STOP) break;
    const operation = OPERATIONS[opcode];
    if (operation === undefined) fail(machine, `has opcode 0x${opcode.toString(16)}, which no plain checkpoint needs`);
    operation(machine);
  }
  const top = pop(machine);
  if (!(top instanceof Map)) fail(machine, 'holds no dictionary of tensors');
  const tensors = new Map<string, PickledTensor>();
  for (const [name, value] of top) {
    if (value instanceof PickledTensorValue && typeof name === 'string') tensors.set(name, value.tensor);
  }
  return tensors;
}
