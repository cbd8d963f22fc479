/**
 * Checkpoints of a run: folders `step-<n>` that hold the model, the optimizer's moments and the trainer's own numbers.
 * A folder appears under its name only when it is whole and on disk; the newest one that is there is where a run continues.
 */
import { open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { openSafetensors, type SafetensorsFile } from '../formats/safetensors.ts';
import { type TensorToWrite, tensorInMemory, writeSafetensors } from '../formats/safetensors-write.ts';
import { quoted } from '../formats/tensor-source.ts';
import type { Storage } from '../runtime/backend.ts';
import { writeFileAtomic } from '../util/atomic-file.ts';
import { writeFolderAtomic } from '../util/atomic-folder.ts';
import { CapacityError, FormatError } from '../util/errors.ts';

const count = z.number().int().nonnegative();
const stateSchema = z.strictObject({
  format: z.literal('cria-trainer-1'),
  /** Optimizer steps completed. */
  step: count,
  /** Updates made; fewer than steps where steps were skipped. Random numbers and schedules count from these two. */
  numUpdates: count,
  /** Valid targets seen. */
  numTokens: count,
  /** Steps without an update because a gradient or loss was not finite, and because no target was valid. */
  numNonFinite: count,
  numEmpty: count,
  /** Place in the data, as the stage counts it. */
  dataCursor: count,
  best: z.strictObject({ step: count, loss: z.number() }).nullable(),
  /** What else a stage must remember. */
  stage: z.record(z.string(), z.json()),
});

export type TrainerState = Omit<z.infer<typeof stateSchema>, 'format'>;

/** The numbers of a run that has not begun. */
export const INITIAL_TRAINER_STATE: TrainerState = {
  step: 0,
  numUpdates: 0,
  numTokens: 0,
  numNonFinite: 0,
  numEmpty: 0,
  dataCursor: 0,
  best: null,
  stage: {},
};

/** What goes into a checkpoint beside the trainer's numbers. */
export interface CheckpointContents {
  /** Tensors by file name. */
  readonly tensors: Readonly<Record<string, ReadonlyMap<string, Storage>>>;
  /** Small files as they are, so that a checkpoint is a model folder of its own. */
  readonly files: Readonly<Record<string, string | Uint8Array>>;
}

const STATE_FILE = 'trainer-state.json';
const FOLDER_NAME = /^step-(\d+)$/;

/** Writes the checkpoint of `state.step` into `folder`, then removes all but the newest `keep`. */
export async function writeCheckpoint(
  folder: string,
  state: TrainerState,
  contents: CheckpointContents,
  keep: number,
): Promise<void> {
  try {
    await writeFolderAtomic(join(folder, `step-${state.step}`), async (partial) => {
      for (const [name, storages] of Object.entries(contents.tensors)) {
        await writeSafetensors(join(partial, name), [...storages].map(tensorOf));
      }
      const text = `${JSON.stringify({ format: 'cria-trainer-1', ...state }, null, 2)}\n`;
      const files = { ...contents.files, [STATE_FILE]: text };
      for (const [name, data] of Object.entries(files)) {
        await writeFileAtomic(join(partial, name), (file) => file.write(Buffer.from(data)));
      }
    });
  } catch (error) {
    throw await explained(error, folder, state.step);
  }
  await syncFolder(folder);
  await prune(folder, keep);
}

/** Steps of which there is a checkpoint, ascending; leftovers of a crash are removed. */
export async function checkpointSteps(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  for (const name of names.filter((entry) => entry.startsWith('.step-') && entry.endsWith('.partial'))) {
    await rm(join(folder, name), { recursive: true, force: true });
  }
  const steps = names.flatMap((name) => FOLDER_NAME.exec(name)?.[1] ?? []).map(Number);
  return steps.toSorted((a, b) => a - b);
}

/** Where the checkpoint of a step lies. */
export function checkpointPath(folder: string, step: number): string {
  return join(folder, `step-${step}`);
}

/** Fills the states from the newest checkpoint in `folder`, if there is one, and gives the numbers to go on from. */
export async function continueFrom(folder: string, tensors: CheckpointContents['tensors']): Promise<TrainerState> {
  const newest = (await checkpointSteps(folder)).at(-1);
  return newest === undefined ? INITIAL_TRAINER_STATE : readCheckpoint(checkpointPath(folder, newest), tensors);
}

/**
 * Fills the states from a checkpoint and gives the trainer's numbers. Throws one FormatError that names every tensor that is missing,
 * unknown, cut off or of a wrong type or shape; then no state is changed.
 */
export async function readCheckpoint(path: string, tensors: CheckpointContents['tensors']): Promise<TrainerState> {
  const state = await readState(path);
  const faults: string[] = [];
  const opened: [SafetensorsFile, ReadonlyMap<string, Storage>][] = [];
  try {
    for (const [name, storages] of Object.entries(tensors)) {
      try {
        const file = await openSafetensors(join(path, name));
        opened.push([file, storages]);
        faults.push(...misfits(file, storages));
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        faults.push(error.message);
      }
    }
    if (faults.length > 0) {
      throw new FormatError(
        `${path}: cannot be resumed from: ${faults.join('; ')}. Remove this folder to go on from an older checkpoint`,
      );
    }
    for (const [file, storages] of opened) {
      for (const [name, storage] of storages) storage.write((await file.read(name)) as Float32Array | Float64Array);
    }
  } finally {
    await Promise.all(opened.map(([file]) => file.close()));
  }
  return state;
}

async function readState(path: string): Promise<TrainerState> {
  const file = join(path, STATE_FILE);
  try {
    const { format: _, ...state } = stateSchema.parse(JSON.parse(await readFile(file, 'utf8')));
    return state;
  } catch (cause) {
    throw new FormatError(`${file}: is missing or damaged; remove ${path} to go on from an older checkpoint`, {
      cause,
    });
  }
}

function tensorOf([name, storage]: [string, Storage]): TensorToWrite {
  const values = storage.view ?? storage.read();
  return tensorInMemory(name, storedType(storage), storage.shape, values);
}

/** Moments and weights are f32, except in the reference backend's float64 mode, whose every bit counts too. */
function storedType(storage: Storage): 'F32' | 'F64' {
  return (storage.view ?? storage.read()) instanceof Float64Array ? 'F64' : 'F32';
}

function misfits(file: SafetensorsFile, storages: ReadonlyMap<string, Storage>): string[] {
  const faults: string[] = [];
  for (const [name, storage] of storages) {
    const stored = file.tensors.get(name);
    const expected = `${storedType(storage)} [${storage.shape.join(', ')}]`;
    const given = stored && `${stored.dtype} [${stored.shape.join(', ')}]`;
    if (given !== expected)
      faults.push(`${file.path}: tensor ${quoted(name)} is ${given ?? 'missing'}, expected ${expected}`);
  }
  for (const name of file.tensors.keys()) {
    if (!storages.has(name)) faults.push(`${file.path}: tensor ${quoted(name)} is not of this model`);
  }
  return faults;
}

async function explained(error: unknown, folder: string, step: number): Promise<unknown> {
  const code = (error as NodeJS.ErrnoException).code;
  if (!(error instanceof CapacityError) && code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  const newest = (await checkpointSteps(folder)).at(-1);
  const kept = newest === undefined ? 'There is no earlier one' : `The one of step ${newest} is whole`;
  return new CapacityError(
    `${folder}: the disk is full, the checkpoint of step ${step} was not written. ${kept}; free space and run again with --resume`,
    { cause: error },
  );
}

async function prune(folder: string, keep: number): Promise<void> {
  const steps = await checkpointSteps(folder);
  for (const step of steps.slice(0, Math.max(0, steps.length - keep))) {
    await rm(checkpointPath(folder, step), { recursive: true, force: true });
  }
}

/** Makes the new name of a folder durable where the platform allows it. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => null);
  await handle?.sync().catch(() => {});
  await handle?.close();
}
