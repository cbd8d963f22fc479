/**
 * The native backend: plans run by the C++ kernels of kernels/, on threads of their own. All executables of a backend share one arena;
 * runs take turns in it. Knows the addon, nothing about models.
 */
import { byteLength, type DType, type Shape } from '../tensor/dtype.ts';
import type { Node } from '../tensor/graph.ts';
import { ConfigError, invariant } from '../util/errors.ts';
import { availableProcessors } from './available-processors.ts';
import type { Backend, Executable, OutputMemory, Storage, Values } from './backend.ts';
import { checkInputNames } from './check-input-names.ts';
import { type Addon, type Handle, requireAddon } from './native-addon.ts';
import { encodeProgram, OPERATORS, workspaceBytesOf } from './native-lowering.ts';
import { NativeMemory, type Place } from './native-memory.ts';
import { checkNumValues, NativeStorage } from './native-storage.ts';
import { type OperatorTime, renderProfile } from './operator-times.ts';
import type { Operand, Plan } from './plan.ts';

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

/** The backend itself: a team of threads, an arena for all plans, and the order in which runs take turns in it. */
export class NativeBackend implements Backend {
  readonly name = 'native';
  readonly isa: string;
  readonly threads: number;
  readonly #addon: Addon;
  readonly #team: Handle;
  readonly #memory: NativeMemory;
  readonly #arenaBytesOfPlans = new Map<NativeExecutable, number>();
  #arena: ArrayBuffer | null = null;
  #lastTurn: Promise<unknown> = Promise.resolve();

  constructor(addon: Addon, isa: string, threads: number) {
    this.#addon = addon;
    this.isa = isa;
    this.threads = threads;
    this.#team = addon.createTeam(isa, threads);
    this.#memory = new NativeMemory(addon, this.#team);
  }

  workspaceBytes(node: Node): number {
    return workspaceBytesOf(node);
  }

  createStorage(dtype: DType, shape: Shape): Storage {
    return new NativeStorage(this.#memory, dtype, shape, this.#memory.allocate(byteLength(dtype, shape)));
  }

  mapStorage(dtype: DType, shape: Shape, file: number, byteOffset: number): Storage | null {
    const buffer = this.#memory.map(file, byteOffset, byteLength(dtype, shape));
    return buffer && new NativeStorage(this.#memory, dtype, shape, buffer);
  }

  load(plan: Plan, states: ReadonlyMap<string, Storage>): Executable {
    const buffers = plan.states.map((name) => {
      const storage = states.get(name);
      invariant(storage instanceof NativeStorage, `internal: state ${name} is missing or of another backend`);
      return storage.place.buffer;
    });
    const program = this.#addon.load(this.#team, encodeProgram(plan));
    const executable = new NativeExecutable(this, this.#memory, plan, program, buffers);
    this.#arenaBytesOfPlans.set(executable, plan.arenaBytes);
    return executable;
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
      if (this.#arena) this.#memory.release(this.#arena);
      this.#arena = null;
      this.#arena = this.#memory.allocate(bytes);
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
    this.#memory.release(this.#arena);
    this.#arena = null;
  }
}

/** A plan bound to its states. */
class NativeExecutable implements Executable {
  readonly #backend: NativeBackend;
  readonly #memory: NativeMemory;
  readonly #plan: Plan;
  readonly #states: readonly ArrayBuffer[];
  #program: Handle | null;
  /** The arena, which changes when larger plans come, and the states, as of the last run. */
  #buffers: readonly ArrayBuffer[] = [];

  constructor(
    backend: NativeBackend,
    memory: NativeMemory,
    plan: Plan,
    program: Handle,
    states: readonly ArrayBuffer[],
  ) {
    this.#backend = backend;
    this.#memory = memory;
    this.#plan = plan;
    this.#program = program;
    this.#states = states;
  }

  run(inputs: Readonly<Record<string, ArrayLike<number>>>, into: OutputMemory = {}): Promise<Record<string, Values>> {
    return this.#backend.takeTurn(async () => {
      invariant(this.#program, 'internal: a disposed executable was run');
      checkInputNames(this.#plan.inputs, inputs);
      for (const [name, { shape }] of this.#plan.inputs) checkNumValues(`input ${name}`, inputs[name]!, shape);
      const arena = this.#backend.arena();
      const isBound = this.#buffers[0] === arena;
      const buffers = isBound ? this.#buffers : [arena, ...this.#states];
      for (const [name, operand] of this.#plan.inputs) this.#memory.write(placeOf(operand, buffers), inputs[name]!);
      const running = this.#backend.execute(this.#program, isBound ? null : buffers);
      this.#buffers = buffers; // not before the program has them too
      await running;
      const outputs = [...this.#plan.outputs].map(
        ([name, operand]) => [name, this.#memory.read(placeOf(operand, buffers), into[name])] as const,
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
}

function placeOf({ buffer, byteOffset, dtype, shape }: Operand, buffers: readonly ArrayBuffer[]): Place {
  return { buffer: buffers[buffer]!, byteOffset, dtype, shape };
}
