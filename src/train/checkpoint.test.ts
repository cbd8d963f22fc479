import { strict as assert } from 'node:assert';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { Storage } from '../runtime/backend.ts';
import { createReferenceBackend } from '../runtime/reference.ts';
import {
  type CheckpointContents,
  checkpointSteps,
  continueFrom,
  INITIAL_TRAINER_STATE,
  readCheckpoint,
  writeCheckpoint,
} from './checkpoint.ts';

const root = mkdtempSync(join(tmpdir(), 'cria-checkpoint-'));
after(() => rmSync(root, { recursive: true }));
let folder = '';
beforeEach(() => (folder = mkdtempSync(join(root, 'run-'))));

function storage(numbers: readonly number[], precision: 'float32' | 'float64' = 'float32'): Storage {
  const created = createReferenceBackend({ precision }).createStorage('f32', [numbers.length]);
  created.write(numbers);
  return created;
}

function contents(scale: number, precision: 'float32' | 'float64' = 'float32'): CheckpointContents {
  const tensors = (file: number): Map<string, Storage> =>
    new Map([
      ['a', storage([0.1 * scale, file], precision)],
      ['b', storage([scale, 2, 1 / 3], precision)],
    ]);
  return {
    tensors: { 'model.safetensors': tensors(1), 'optimizer.safetensors': tensors(2) },
    files: { 'params.json': '{}\n' },
  };
}

function values({ tensors }: CheckpointContents): number[][] {
  return Object.values(tensors).flatMap((storages) => [...storages.values()].map((one) => Array.from(one.read())));
}

const state = (step: number) => ({
  ...INITIAL_TRAINER_STATE,
  step,
  numUpdates: step - 1,
  best: { step: 1, loss: 0.5 },
});

describe('checkpoints', () => {
  it('come back bit for bit, in float32 and in float64', async () => {
    for (const precision of ['float32', 'float64'] as const) {
      const written = contents(7, precision);
      const path = join(folder, precision);
      await writeCheckpoint(path, state(3), written, 2);
      const read = contents(0, precision);
      assert.deepEqual(await continueFrom(path, read.tensors), state(3));
      assert.deepEqual(values(read), values(written));
      assert.equal(readFileSync(join(path, 'step-3', 'params.json'), 'utf8'), '{}\n');
    }
  });

  it('are kept up to a number, the oldest removed first, and leftovers of a crash go', async () => {
    assert.deepEqual(await continueFrom(folder, contents(1).tensors), INITIAL_TRAINER_STATE);
    mkdirSync(join(folder, '.step-8.123.abc.partial'));
    for (const step of [2, 9, 10, 100]) await writeCheckpoint(folder, state(step), contents(step), 2);
    assert.deepEqual(await checkpointSteps(folder), [10, 100]);
    assert.deepEqual(readdirSync(folder).toSorted(), ['step-10', 'step-100']);
    assert.equal((await continueFrom(folder, contents(0).tensors)).step, 100);
  });

  it('that do not fit are refused with every offending tensor named, and change nothing', async () => {
    await writeCheckpoint(folder, state(3), contents(7), 2);
    const path = join(folder, 'step-3');
    const other: CheckpointContents['tensors'] = {
      'model.safetensors': new Map([
        ['a', storage([5, 5, 5])],
        ['c', storage([5])],
      ]),
      'optimizer.safetensors': new Map([
        ['a', storage([5, 5])],
        ['b', storage([5])],
      ]),
    };
    await assert.rejects(readCheckpoint(path, other), (error: Error) => {
      assert.match(error.message, /model\.safetensors: tensor "a" is F32 \[2\], expected F32 \[3\]/);
      assert.match(error.message, /tensor "c" is missing/);
      assert.match(error.message, /tensor "b" is not of this model/);
      assert.match(error.message, /optimizer\.safetensors: tensor "b" is F32 \[3\], expected F32 \[1\]/);
      return true;
    });
    for (const numbers of values({ tensors: other, files: {} })) assert.ok(numbers.every((value) => value === 5));
  });

  it('that are cut off are refused with the lost tensors of every file named', async () => {
    await writeCheckpoint(folder, state(3), contents(7), 2);
    for (const name of ['model.safetensors', 'optimizer.safetensors']) {
      truncateSync(join(folder, 'step-3', name), readFileSync(join(folder, 'step-3', name)).length - 1);
    }
    const message =
      /model\.safetensors: .*cut off.*1 tensors: "b"; .*optimizer\.safetensors: .*1 tensors: "b".*Remove this folder/;
    await assert.rejects(continueFrom(folder, contents(0).tensors), { code: 'E_FORMAT', message });
    rmSync(join(folder, 'step-3', 'model.safetensors'));
    await assert.rejects(continueFrom(folder, contents(0).tensors), /model\.safetensors: cannot be opened/);
    writeFileSync(join(folder, 'step-3', 'trainer-state.json'), '{"step":');
    await assert.rejects(continueFrom(folder, contents(0).tensors), /trainer-state\.json: is missing or damaged/);
  });

  it('that no longer fit on the disk leave the one before whole and say so', async () => {
    await writeCheckpoint(folder, state(3), contents(7), 1);
    // A limit on the size of files stands for the full disk: the write fails in the same way, after the same part of it.
    const script = `
      import { writeCheckpoint, INITIAL_TRAINER_STATE } from ${JSON.stringify(new URL('checkpoint.ts', import.meta.url).href)};
      import { createReferenceBackend } from ${JSON.stringify(new URL('../runtime/reference.ts', import.meta.url).href)};
      const big = createReferenceBackend({ precision: 'float32' }).createStorage('f32', [100000]);
      const contents = { tensors: { 'model.safetensors': new Map([['big', big]]) }, files: {} };
      await writeCheckpoint(process.argv[2], { ...INITIAL_TRAINER_STATE, step: 4 }, contents, 1)
        .catch((error) => console.log(error.code, error.message));`;
    const file = join(folder, 'fill.mts');
    writeFileSync(file, script);
    const command = `trap '' XFSZ; ulimit -f 64; exec "$0" --import tsx "$1" "$2"`;
    const { stdout } = await promisify(execFile)('bash', ['-c', command, process.execPath, file, folder]);
    assert.match(
      stdout,
      /^E_CAPACITY .*the disk is full, the checkpoint of step 4 was not written\. The one of step 3 is whole/,
    );
    assert.deepEqual(await checkpointSteps(folder), [3]);
    const read = contents(0);
    await continueFrom(folder, read.tensors);
    assert.deepEqual(values(read), values(contents(7)));
  });
});
