/**
 * The reference backend: runs plans in plain TypeScript, in float64 as the exact oracle for every other backend, or in float32 where no
 * native addon could be built. Slow and simple; it works in slices of a few milliseconds so that the event loop stays free.
 *
 * Every value takes one array element, whatever its type. A plan counts bytes as stored, so arrays are the arena stretched: by the size
 * of an element over the two bytes of the narrowest type.
 */
import { setImmediate } from 'node:timers/promises';
import { type DType, numValues, type Shape } from '../tensor/dtype.ts';
import { type OpName, stateUpdates } from '../tensor/operators.ts';
import { CapacityError, invariant, ShapeError } from '../util/errors.ts';
import { type Backend, copyOf, type Executable, type OutputMemory, type Storage, type Values } from './backend.ts';
import { checkInputNames } from './check-input-names.ts';
import type { Instruction, Operand, Plan } from './plan.ts';
import { type ReferenceKernel, roundTo, type View } from './reference/kernel.ts';
import { referenceKernels } from './reference/kernels.ts';

export type ReferencePrecision = 'float64' | 'float32';

/** Longest stretch of work between two turns of the event loop. */
const SLICE_MS = 5;
const NARROWEST_BYTES = 2;

/** A backend in plain TypeScript: 'float64' rounds nothing, 'float32' rounds to the types that a graph names and sums in float64. */
export function createReferenceBackend({ precision }: { precision: ReferencePrecision }): Backend {
  const turns = new Turns();
  return {
    name: 'reference',
    isa: null,
    workspaceBytes: () => 0,
    createStorage: (dtype, shape) => createStorage(precision, dtype, shape),
    mapStorage: () => null,
    load: (plan, states) => loadPlan(precision, plan, states, turns),
  };
}

/** Whose turn it is: one plan runs at a time, as plans may share states, and between slices of it the event loop runs. */
class Turns {
  #last: Promise<unknown> = Promise.resolve();
  // Of the backend, not of a run: a caller may start one short run after another without ever letting go of the event loop.
  #sliceEnd = 0;

  /** Does `work` when everything asked for earlier is done. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }

  /** Carries out the steps of a plan. */
  async runInSlices(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      for (const _ of step()) {
        if (performance.now() < this.#sliceEnd) continue;
        await setImmediate();
        this.#sliceEnd = performance.now() + SLICE_MS;
      }
    }
  }
}

interface ReferenceStorage extends Storage {
  readonly values: Values;
}

function createStorage(precision: ReferencePrecision, dtype: DType, shape: Shape): ReferenceStorage {
  const values = allocate(precision, dtype, shape);
  return {
    dtype,
    shape,
    values,
    sizeBytes: values.byteLength,
    view: dtype === 'f32' || dtype === 'i32' ? values : null,
    write: (source) => fill('write', values, { dtype, shape }, source),
    writeRows: (firstRow, source) => {
      const start = firstRow * (numValues(shape) / shape[0]!);
      fill('writeRows', values.subarray(start, start + source.length), { dtype, shape }, source);
    },
    writeBlocks: null,
    bytes: null,
    read: () => values.slice(),
  };
}

function allocate(precision: ReferencePrecision, dtype: DType, shape: Shape): Values {
  try {
    return new (arrayType(precision, dtype))(numValues(shape));
  } catch (cause) {
    throw new CapacityError(`no memory for a ${dtype} tensor [${shape.join(', ')}]; use a smaller model or context`, {
      cause,
    });
  }
}

function arrayType(precision: ReferencePrecision, dtype: DType) {
  if (dtype === 'i32') return Int32Array;
  return precision === 'float64' ? Float64Array : Float32Array;
}

/** Sets all values of a tensor, rounded as its type asks. */
function fill(
  what: string,
  values: Values,
  { dtype, shape }: { readonly dtype: DType; readonly shape: Shape },
  source: ArrayLike<number>,
): void {
  if (source.length !== values.length) {
    throw new ShapeError(`${what}: expected ${values.length} values, got ${source.length}`);
  }
  values.set(source);
  roundTo(dtype, values, shape.at(-1));
}

function loadPlan(
  precision: ReferencePrecision,
  plan: Plan,
  states: ReadonlyMap<string, Storage>,
  turns: Turns,
): Executable {
  const stretch = (precision === 'float64' ? 8 : 4) / NARROWEST_BYTES;
  let arena: ArrayBuffer | null = new ArrayBuffer(plan.arenaBytes * stretch);
  // Not-a-number shows at once when a plan reads what it has not written.
  new Uint8Array(arena).fill(0xff);
  const storages = plan.states.map((name) => states.get(name) as ReferenceStorage | undefined);
  const viewOf = (operand: Operand): View => {
    const { buffer, byteOffset, byteLength, dtype } = operand;
    const shape = operand.shape.map(asCounter);
    if (buffer > 0)
      return { dtype, shape, values: valuesOfState(plan.states[buffer - 1]!, storages[buffer - 1], operand) };
    invariant(byteOffset + byteLength <= plan.arenaBytes, 'internal: an operand lies outside the arena');
    return { dtype, shape, values: new (arrayType(precision, dtype))(arena!, byteOffset * stretch, numValues(shape)) };
  };
  const inputs = new Map([...plan.inputs].map(([name, operand]) => [name, viewOf(operand)]));
  const outputs = [...plan.outputs].map(([name, operand]) => [name, viewOf(operand)] as const);
  const steps = plan.instructions.map((instruction) => prepare(instruction, viewOf));
  const run = async (given: Readonly<Record<string, ArrayLike<number>>>, into: OutputMemory = {}) => {
    invariant(arena, 'internal: a disposed executable was run');
    writeInputs(inputs, given);
    await turns.runInSlices(steps);
    return Object.fromEntries(outputs.map(([name, { values }]) => [name, copyOf(values, into[name])]));
  };
  return {
    run: (given, into) => turns.take(() => run(given, into)),
    dispose: () => {
      void turns.take(async () => {
        arena = null;
        inputs.clear();
        for (const views of [steps, outputs]) views.length = 0;
      });
    },
  };
}

/** The same number as V8 counts with it fastest: sizes that stem from divisions are floats inside, and loops over them take twice as long. */
function asCounter(size: number): number {
  const counter = size | 0;
  return counter === size ? counter : size;
}

function withCounters<T extends object>(attrs: T): T {
  const entries = Object.entries(attrs).map(([key, value]) => [
    key,
    typeof value === 'number' ? asCounter(value) : value,
  ]);
  return Object.fromEntries(entries) as T;
}

function valuesOfState(name: string, storage: ReferenceStorage | undefined, { dtype, shape }: Operand): Values {
  invariant(storage, `internal: there is no state ${name}`);
  const same = storage.dtype === dtype && String(storage.shape) === String(shape);
  invariant(same, `internal: state ${name} is not ${dtype} [${shape.join(', ')}]`);
  return storage.values;
}

function writeInputs(views: ReadonlyMap<string, View>, given: Readonly<Record<string, ArrayLike<number>>>): void {
  checkInputNames(views, given);
  for (const [name, view] of views) fill(`input ${name}`, view.values, view, given[name]!);
}

/** Carries out one instruction, yielding where the event loop may have its turn. */
type Step = () => Generator<void>;

function prepare<K extends OpName>(instruction: Instruction<K>, viewOf: (operand: Operand) => View): Step {
  const kernel: ReferenceKernel<K> = referenceKernels[instruction.op];
  const outputs = instruction.outputs.map(viewOf);
  const attrs = withCounters(instruction.attrs);
  const call = { attrs, inputs: instruction.inputs.map((input) => input && viewOf(input)), outputs };
  // Kernels that update a state touch a part of it and round that themselves.
  const rounded = stateUpdates[instruction.op]
    ? []
    : outputs.filter(({ dtype }) => dtype === 'bf16' || dtype === 'f16');
  return function* () {
    const rest = kernel(call);
    if (rest) yield* rest;
    for (const { dtype, values } of rounded) roundTo(dtype, values);
    yield;
  };
}
