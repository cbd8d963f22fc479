/**
 * The native backend: plans run by the C++ kernels of kernels/, on threads of their own. All executables of a backend share one arena;
 * runs take turns in it. Knows the addon and how memory crosses its border, nothing about models.
 */
import { byteLength, type DType, isPanel, isQuantised, numValues, PANEL_ROWS, type Shape } from '../tensor/dtype.ts';
import type { Node } from '../tensor/graph.ts';
import { CapacityError, ConfigError, invariant, ShapeError } from '../util/errors.ts';
import { availableProcessors } from './available-processors.ts';
import { type Addon, type Handle, requireAddon } from './native-addon.ts';
import {
  type Backend,
  type BlockFormat,
  copyOf,
  type Executable,
  type OutputMemory,
  type Storage,
  type Values,
} from './backend.ts';
import { DTYPES, encodeProgram, OPERATORS, workspaceBytesOf } from './native-lowering.ts';
import { type OperatorTime, renderProfile } from './operator-times.ts';
import type { Operand, Plan } from './plan.ts';

/** In the order of SourceBlocks in kernels/quantised-pack.h. */
const BLOCK_FORMATS: readonly BlockFormat[] = ['Q4_0', 'Q4_1', 'Q5_0', 'Q8_0', 'Q4_K'];

/** The instruction sets that this build and this processor share, the slowest first. */
export function supportedIsas(): string[] {
  return requireAddon().supportedIsas();
}

export interface NativeOptions {
  /** Threads that compute; CRIA_THREADS or the processors there are for this process by default. */
  threads?: number;
  /** One of `supportedIsas()`; CRIA_ISA or the fastest by default. */
  isa?: string;
}

function chooseIsa(addon: Addon, wanted: string | undefined): string {
  const supported = addon.supportedIsas();
  const isa = wanted ?? process.env['CRIA_ISA'] ?? supported.at(-1)!;
  if (!supported.includes(isa))
    throw new ConfigError(`instruction set ${isa} cannot run here; this processor supports ${supported.join(', ')}`);
  return isa;
}

function chooseThreads(wanted: number | undefined): number {
  const threads = wanted ?? Number(process.env['CRIA_THREADS'] ?? availableProcessors());
  if (!Number.isInteger(threads) || threads < 1 || threads > 1024)
    throw new ConfigError(`threads must be a whole number from 1 to 1024, got ${threads}; set CRIA_THREADS`);
  return threads;
}

/** A backend that runs plans on the native kernels; throws ConfigError where they cannot be used. */
export function createNativeBackend(options: NativeOptions = {}): NativeBackend {
  const addon = requireAddon();
  const backend = new NativeBackend(addon, chooseIsa(addon, options.isa), chooseThreads(options.threads));
  if (process.env['CRIA_PROFILE']) process.once('exit', () => process.stderr.write(renderProfile(backend.profile())));
  return backend;
}

/** Part of a buffer that holds one tensor, in the kernels' layout. */
interface Place {
  readonly buffer: ArrayBuffer;
  readonly byteOffset: number;
  readonly dtype: DType;
  readonly shape: Shape;
}

/** The backend itself: a team of threads, an arena for all plans, and the order in which runs take turns in it. */
export class NativeBackend implements Backend {
  readonly name = 'native';
  readonly isa: string;
  readonly threads: number;
  readonly #addon: Addon;
  readonly #team: Handle;
  readonly #arenaBytesOfPlans = new Map<NativeExecutable, number>();
  #arena: ArrayBuffer | null = null;
  #lastTurn: Promise<unknown> = Promise.resolve();

  constructor(addon: Addon, isa: string, threads: number) {
    this.#addon = addon;
    this.isa = isa;
    this.threads = threads;
    this.#team = addon.createTeam(isa, threads);
  }

  workspaceBytes(node: Node): number {
    return workspaceBytesOf(node);
  }

  createStorage(dtype: DType, shape: Shape): Storage {
    return new NativeStorage(this, { buffer: this.allocate(byteLength(dtype, shape)), byteOffset: 0, dtype, shape });
  }

  mapStorage(dtype: DType, shape: Shape, file: number, byteOffset: number): Storage | null {
    const buffer = this.#addon.map(file, byteOffset, byteLength(dtype, shape));
    return buffer && new NativeStorage(this, { buffer, byteOffset: 0, dtype, shape });
  }

  load(plan: Plan, states: ReadonlyMap<string, Storage>): Executable {
    const buffers = plan.states.map((name) => {
      const storage = states.get(name);
      invariant(storage instanceof NativeStorage, `internal: state ${name} is missing or of another backend`);
      return storage.place.buffer;
    });
    const executable = new NativeExecutable(this, plan, this.#addon.load(this.#team, encodeProgram(plan)), buffers);
    this.#arenaBytesOfPlans.set(executable, plan.arenaBytes);
    return executable;
  }

  /** Zeroed memory; throws CapacityError when there is none. */
  allocate(bytes: number): ArrayBuffer {
    const buffer = this.#addon.allocate(bytes);
    if (buffer) return buffer;
    throw new CapacityError(
      `no memory for ${(bytes / 2 ** 20).toFixed(0)} MiB; use a smaller model, context or batch, or a smaller type`,
    );
  }

  /** Time per operator since the last call, the most expensive first. Not during a run. */
  profile(): OperatorTime[] {
    const numbers = this.#addon.profile(this.#team);
    const times = OPERATORS.map((op, i) => ({ op, seconds: numbers[i]!, calls: numbers[OPERATORS.length + i]! }));
    return times.filter(({ calls }) => calls > 0).toSorted((a, b) => b.seconds - a.seconds);
  }

  /** What the machine can do at most, per second: `multiplyAddF32`, `multiplyAddBf16` (operations) or `readBandwidth` (bytes). */
  probe(name: 'multiplyAddF32' | 'multiplyAddBf16' | 'readBandwidth', bytes = 0): Promise<number> {
    return this.takeTurn(() => this.#addon.probe(this.#team, name, bytes));
  }

  /** Replaces the values at a place, converted to its type. */
  write(place: Place, values: ArrayLike<number>): void {
    const view = viewOf(place);
    if (view) view.set(values);
    else
      this.#addon.pack(
        this.#team,
        values instanceof Float32Array ? values : Float32Array.from(values),
        ...this.#packed(place),
      );
  }

  /** Replaces whole rows of quantised panels by blocks of a file. */
  writeBlocks(place: Place, format: BlockFormat, firstRow: number, numRows: number, blocks: Uint8Array): void {
    const { buffer, dtype, shape } = place;
    const number = BLOCK_FORMATS.indexOf(format);
    const target = [buffer, DTYPES.indexOf(dtype), shape[0]!, shape[1]!] as const;
    this.#addon.repack(this.#team, number, blocks, firstRow, numRows, ...target);
  }

  /** A copy of the values at a place, in the memory given if it can hold them. */
  read(place: Place, memory?: Values): Values {
    const view = viewOf(place);
    if (view) return copyOf(view, memory);
    const values = new Float32Array(numValues(place.shape));
    this.#addon.unpack(this.#team, values, ...this.#packed(place));
    return values;
  }

  /** Does `work` when everything asked for earlier is done. */
  takeTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#lastTurn.then(work);
    this.#lastTurn = result.catch(() => {});
    return result;
  }

  /** The arena, as large as the largest loaded plan needs; only during a turn. */
  arena(): ArrayBuffer {
    const bytes = Math.max(0, ...this.#arenaBytesOfPlans.values());
    if (this.#arena?.byteLength !== bytes) {
      if (this.#arena) this.#addon.release(this.#arena);
      this.#arena = null;
      this.#arena = this.allocate(bytes);
    }
    return this.#arena;
  }

  /** Runs a loaded program, with the buffers of its last run if none are given; only during a turn. */
  execute(program: Handle, buffers: readonly ArrayBuffer[] | null): Promise<void> {
    return this.#addon.run(program, buffers);
  }

  /** Forgets an executable, and the arena with the last one. */
  unload(executable: NativeExecutable): void {
    this.#arenaBytesOfPlans.delete(executable);
    if (this.#arenaBytesOfPlans.size > 0 || !this.#arena) return;
    this.#addon.release(this.#arena);
    this.#arena = null;
  }

  #packed({ buffer, byteOffset, dtype, shape }: Place) {
    const rows = isPanel(dtype) || dtype === 'row_q8' ? shape[0]! : 1;
    return [buffer, byteOffset, DTYPES.indexOf(dtype), rows, rows === 0 ? 0 : numValues(shape) / rows] as const;
  }
}

/** The memory itself where it holds plain f32 or i32; null for other types. */
function viewOf({ buffer, byteOffset, dtype, shape }: Place): Float32Array | Int32Array | null {
  if (dtype === 'f32') return new Float32Array(buffer, byteOffset, numValues(shape));
  if (dtype === 'i32') return new Int32Array(buffer, byteOffset, numValues(shape));
  return null;
}

/** A state in a buffer of its own. */
class NativeStorage implements Storage {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly sizeBytes: number;
  readonly view: Values | null;
  readonly bytes: Uint8Array;
  readonly writeBlocks: Storage['writeBlocks'];
  readonly place: Place;
  readonly #backend: NativeBackend;

  constructor(backend: NativeBackend, place: Place) {
    this.#backend = backend;
    this.bytes = new Uint8Array(place.buffer);
    this.writeBlocks = isQuantised(place.dtype) ? (...blocks) => backend.writeBlocks(place, ...blocks) : null;
    this.place = place;
    this.dtype = place.dtype;
    this.shape = place.shape;
    this.sizeBytes = place.buffer.byteLength;
    this.view = viewOf(place);
  }

  write(values: ArrayLike<number>): void {
    checkLength('write', values, this.shape);
    this.#backend.write(this.place, values);
  }

  writeRows(firstRow: number, values: Float32Array): void {
    this.#backend.write(rowsOf(this.place, firstRow, values.length), values);
  }

  read(): Values {
    return this.#backend.read(this.place);
  }
}

/** The place of so many values from a row on; in panels a part begins with a panel and ends with one or with the matrix. */
function rowsOf({ buffer, dtype, shape }: Place, firstRow: number, count: number): Place {
  const [numRows, ...rowShape] = shape as [number, ...number[]];
  const rows = count / numValues(rowShape);
  invariant(Number.isInteger(rows) && firstRow + rows <= numRows, `internal: rows ${firstRow} + ${rows} of ${numRows}`);
  const isWhole =
    !isPanel(dtype) || (firstRow % PANEL_ROWS === 0 && (rows % PANEL_ROWS === 0 || firstRow + rows === numRows));
  invariant(isWhole, `internal: rows ${firstRow} + ${rows} are no whole panels`);
  const byteOffset = byteLength(dtype, [firstRow, ...rowShape]);
  return { buffer, byteOffset, dtype, shape: [rows, ...rowShape] };
}

function checkLength(what: string, values: ArrayLike<number>, shape: Shape): void {
  if (values.length !== numValues(shape))
    throw new ShapeError(
      `${what}: expected ${numValues(shape)} values for [${shape.join(', ')}], got ${values.length}`,
    );
}

/** A plan bound to its states. */
class NativeExecutable implements Executable {
  readonly #backend: NativeBackend;
  readonly #plan: Plan;
  readonly #states: readonly ArrayBuffer[];
  #program: Handle | null;
  /** The arena, which changes when larger plans come, and the states, as of the last run. */
  #buffers: readonly ArrayBuffer[] = [];

  constructor(backend: NativeBackend, plan: Plan, program: Handle, states: readonly ArrayBuffer[]) {
    this.#backend = backend;
    this.#plan = plan;
    this.#program = program;
    this.#states = states;
  }

  run(inputs: Readonly<Record<string, ArrayLike<number>>>, into: OutputMemory = {}): Promise<Record<string, Values>> {
    return this.#backend.takeTurn(async () => {
      invariant(this.#program, 'internal: a disposed executable was run');
      this.#checkInputs(inputs);
      const arena = this.#backend.arena();
      const isBound = this.#buffers[0] === arena;
      const buffers = isBound ? this.#buffers : [arena, ...this.#states];
      for (const [name, operand] of this.#plan.inputs) this.#backend.write(placeOf(operand, buffers), inputs[name]!);
      const running = this.#backend.execute(this.#program, isBound ? null : buffers);
      this.#buffers = buffers; // not before the program has them too
      await running;
      const outputs = [...this.#plan.outputs].map(
        ([name, operand]) => [name, this.#backend.read(placeOf(operand, buffers), into[name])] as const,
      );
      return Object.fromEntries(outputs);
    });
  }

  dispose(): void {
    void this.#backend.takeTurn(async () => {
      this.#program = null;
      this.#buffers = [];
      this.#backend.unload(this);
    });
  }

  #checkInputs(given: Readonly<Record<string, ArrayLike<number>>>): void {
    const known = this.#plan.inputs;
    const unknown = Object.keys(given).filter((name) => !known.has(name));
    if (unknown.length > 0)
      throw new ShapeError(
        `unknown input ${unknown.join(', ')}; this plan takes ${[...known.keys()].join(', ') || 'none'}`,
      );
    for (const [name, { shape }] of known) {
      if (!given[name]) throw new ShapeError(`input ${name} is missing`);
      checkLength(`input ${name}`, given[name], shape);
    }
  }
}

function placeOf({ buffer, byteOffset, dtype, shape }: Operand, buffers: readonly ArrayBuffer[]): Place {
  return { buffer: buffers[buffer]!, byteOffset, dtype, shape };
}
