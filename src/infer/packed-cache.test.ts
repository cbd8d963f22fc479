import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { writeGgufModel } from '../formats/gguf-model-write.ts';
import { openCheckpoint } from '../formats/open-checkpoint.ts';
import { rowOffset, type TensorInfo, type TensorSource } from '../formats/tensor-source.ts';
import { type LlamaConfig, llamaWeightShapes } from '../model/config.ts';
import { createNativeBackend } from '../runtime/native.ts';
import { nativeUnavailableReason } from '../runtime/native-addon.ts';
import { numValues } from '../tensor/dtype.ts';
import { fillNormal, randomStream } from '../util/rng.ts';
import { loadModel, type LoadOptions } from './model.ts';
import { ModelRunner } from './model-runner.ts';
import { cachePlaces, removeSharedPacked } from './packed-cache.ts';
import { TOY_CONFIG, toyPrompt } from './toy-model.ts';

// Rows that fill blocks of 32.
const CONFIG: LlamaConfig = { ...TOY_CONFIG, dim: 64, numHeads: 8, ffnDim: 96 };

function randomSource(): TensorSource {
  const values = new Map<string, Float32Array>();
  const tensors = new Map<string, TensorInfo>();
  for (const [name, shape] of llamaWeightShapes(CONFIG)) {
    values.set(name, new Float32Array(numValues(shape)));
    fillNormal(values.get(name)!, randomStream(3, name), { std: 0.2 });
    tensors.set(name, { dtype: 'F32', shape, byteLength: 4 * numValues(shape), location: null });
  }
  return {
    path: 'memory',
    tensors,
    async readRows(name, firstRow, target) {
      const offset = rowOffset(tensors.get(name)!, firstRow, target);
      target.set(new Uint8Array(values.get(name)!.buffer, offset, target.length));
    },
    async close() {},
  };
}

describe('the cache of packed weights', { skip: nativeUnavailableReason() ?? false }, () => {
  let root = '';
  let folder = '';
  let path = '';
  let places = { ...cachePlaces({})!, leastBytes: 0 };
  let notices: string[] = [];

  before(() => {
    root = mkdtempSync(join(tmpdir(), 'cria-cache-'));
  });
  after(() => rmSync(root, { recursive: true }));
  beforeEach(async () => {
    folder = mkdtempSync(join(root, 'model-'));
    path = join(folder, 'toy.gguf');
    places = { chosenFolder: null, sharedFolder: join(folder, 'shared'), leastBytes: 0 };
    await writeGgufModel(path, { config: CONFIG, weights: randomSource() }, { type: 'q4_0', metadata: new Map() });
  });

  /** Loads the model and gives its logits. */
  async function load(options: Partial<LoadOptions> = {}): Promise<readonly number[]> {
    notices = [];
    const checkpoint = await openCheckpoint(path);
    const model = await loadModel(
      checkpoint,
      createNativeBackend({ threads: 1 }),
      { weightType: 'stored', kvType: null, contextLength: 32, batch: 1, ...options },
      { cachePlaces: places, onNotice: (line) => notices.push(line) },
    );
    await checkpoint.close();
    const [logits] = await new ModelRunner(model).run([
      { ids: toyPrompt(9), startPos: 0, blockIds: [0], logits: 'all' },
    ]);
    return [...logits!];
  }

  const cached = () =>
    join(
      folder,
      '.cria',
      readdirSync(join(folder, '.cria')).find((n) => n.endsWith('.panels'))!,
    );
  const told = (what: RegExp) => notices.filter((line) => what.test(line)).length;

  it('gives the same model at the second start, without packing', async () => {
    const first = await load();
    assert.equal(told(/kept in/), 1);
    assert.equal(told(/kept exactly as stored/), 1);
    assert.deepEqual(await load(), first);
    assert.equal(told(/kept in|again/), 0);
  });

  it('is removed from a shared folder with its model, and with no other', async () => {
    places = { ...places, chosenFolder: places.sharedFolder };
    await load();
    await load({ weightType: 'q8' });
    writeFileSync(join(places.sharedFolder, 'other.panels'), '');
    assert.equal(await removeSharedPacked([join(folder, 'none.gguf')], places), 0);
    assert.equal(await removeSharedPacked([folder, path], places), 2);
    assert.deepEqual(readdirSync(places.sharedFolder), ['other.panels']);
    await load();
    assert.equal(told(/kept in/), 1);
  });

  it('keeps each form in a file of its own, and none of f32', async () => {
    await load();
    await load({ weightType: 'q8' });
    assert.equal(told(/kept in .*q8/), 1);
    assert.equal(told(/converted to q8/), 1);
    await load({ weightType: 'f32' });
    assert.equal(readdirSync(join(folder, '.cria')).length, 2);
  });

  it('packs again, saying so, when its file is damaged, cut off or of another version of the model', async () => {
    const first = await load();
    const spoil: (() => void)[] = [
      () => {
        const bytes = readFileSync(cached());
        bytes[40]! ^= 1;
        writeFileSync(cached(), bytes);
      },
      () => truncateSync(cached(), readFileSync(cached()).length - 1),
      () => truncateSync(cached(), 3),
      () => utimesSync(path, 1000, 1000),
    ];
    for (const damage of spoil) {
      damage();
      assert.deepEqual(await load(), first);
      assert.equal(told(/damaged or of other weights/), 1);
      assert.deepEqual(await load(), first);
      assert.equal(told(/damaged|kept in/), 0);
    }
  });

  it('goes to the shared folder where the model cannot have one, and to a chosen folder alone', async () => {
    writeFileSync(join(folder, '.cria'), 'in the way');
    await load();
    assert.equal(told(/kept in .*shared/), 1);
    await load();
    assert.equal(told(/kept in/), 0);
    const chosen = join(folder, 'chosen');
    places = { ...places, chosenFolder: chosen };
    await load();
    assert.ok(existsSync(chosen) && told(/kept in .*chosen/) === 1);
  });

  it('loads the model all the same when nothing can be kept', async () => {
    const first = await load();
    const blocked = join(folder, 'file');
    writeFileSync(blocked, '');
    places = { ...places, chosenFolder: join(blocked, 'below') };
    assert.deepEqual(await load(), first);
    assert.equal(told(/could not be kept/), 1);
  });

  it('leaves the cache of the hub alone', async () => {
    const snapshot = join(folder, 'models--org--toy', 'snapshots', 'abc');
    mkdirSync(snapshot, { recursive: true });
    writeFileSync(join(snapshot, 'toy.gguf'), readFileSync(path));
    path = join(snapshot, 'toy.gguf');
    await load();
    assert.equal(told(/kept in .*shared/), 1);
  });

  it('is off, chosen or shared as the environment says', () => {
    assert.equal(cachePlaces({ CRIA_CACHE: 'off' }), null);
    assert.equal(cachePlaces({ CRIA_CACHE: '/a' })!.chosenFolder, '/a');
    assert.equal(cachePlaces({ XDG_CACHE_HOME: '/x' })!.sharedFolder, join('/x', 'cria'));
  });
});
