import { strict as assert } from 'node:assert';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ffnDim, type LlamaConfig } from '../model/config.ts';
import { joinedSource } from './joined-source.ts';
import { openMetaFolder } from './meta-folder.ts';
import { llamaConfigFromMeta, metaParamsJson } from './meta-params.ts';
import { writeCriaFolder, writeMetaFolder } from './meta-write.ts';
import { openSafetensors } from './safetensors.ts';
import { tensorInMemory } from './safetensors-write.ts';
import { readTensorBytes, type TensorSource } from './tensor-source.ts';
import { openTorchFile } from './torch-file.ts';
import { writeTorchFile } from './torch-write.ts';
import { assertSameTensors, FIXTURES, openToyWeights, TOY_CONFIG } from './toy-test-support.ts';

let folder = '';
before(async () => (folder = await mkdtemp(join(tmpdir(), 'cria-meta-'))));
after(() => rm(folder, { recursive: true }));

/** The toy split over `size` ranks as Meta's code does, written by our own writer. */
async function splitToy(size: number, splitEmbeddingByColumns: boolean): Promise<string> {
  const at = await mkdtemp(join(folder, `mp${size}-`));
  const toy = await openToyWeights();
  for (let rank = 0; rank < size; rank++) {
    const parts = [];
    for (const [name, { shape }] of toy.tensors) {
      const bytes = await readTensorBytes(toy, name);
      const stem = name.split('.').at(-2)!;
      const isByColumns = ['wo', 'w2'].includes(stem) || (stem === 'tok_embeddings' && splitEmbeddingByColumns);
      const [rows, columns] = [shape[0]!, shape[1] ?? 1];
      if (shape.length === 1) parts.push(tensorInMemory(name, 'BF16', shape, bytes));
      else if (isByColumns) {
        const width = (columns / size) * 2;
        const part = Buffer.concat(
          Array.from({ length: rows }, (_, row) => bytes.subarray(row * columns * 2 + rank * width).subarray(0, width)),
        );
        parts.push(tensorInMemory(name, 'BF16', [rows, columns / size], part));
      } else {
        const height = (rows / size) * columns * 2;
        parts.push(
          tensorInMemory(name, 'BF16', [rows / size, columns], bytes.subarray(rank * height, (rank + 1) * height)),
        );
      }
    }
    await writeTorchFile(join(at, `consolidated.0${rank}.pth`), parts);
  }
  await toy.close();
  await cp(`${FIXTURES}/toy-meta/params.json`, join(at, 'params.json'));
  return at;
}

function oneTensorShard(path: string, dtype: 'F32' | 'I32', shape: number[]): TensorSource {
  return {
    path,
    tensors: new Map([['a.wq.weight', { dtype, shape, byteLength: 16, location: null }]]),
    readRows: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

describe('openMetaFolder', () => {
  it('reads what torch.save wrote, one file or four model-parallel shards joined', async () => {
    const toy = await openToyWeights();
    for (const name of ['toy-meta', 'toy-meta-mp4']) {
      const checkpoint = await openMetaFolder(`${FIXTURES}/${name}`);
      assert.deepEqual(checkpoint.config, TOY_CONFIG);
      assert.equal(checkpoint.format, 'meta');
      await assertSameTensors(checkpoint.weights, toy);
      await checkpoint.close();
    }
    await toy.close();
  });

  it("joins one, two and eight shards that fairscale split for Llama 3's and Llama 2's code", async () => {
    const whole = await openSafetensors(`${FIXTURES}/meta-shards/weights.safetensors`);
    for (const family of ['llama3', 'llama2']) {
      for (const size of [1, 2, 8]) {
        const checkpoint = await openMetaFolder(`${FIXTURES}/meta-shards/${family}-mp${size}`);
        const { dim, numKvHeads, ffnDim: hidden, vocabSize } = checkpoint.config;
        assert.deepEqual([dim, numKvHeads, hidden, vocabSize], [16, 8, 48, 24]);
        await assertSameTensors(checkpoint.weights, whole);
        await checkpoint.close();
      }
    }
    await whole.close();
  });

  it('joins two, four and eight shards, embeddings split by vocabulary (Llama 3) or by dimension (Llama 2)', async () => {
    const toy = await openToyWeights();
    for (const size of [2, 4, 8]) {
      for (const byColumns of [false, true]) {
        const checkpoint = await openMetaFolder(await splitToy(size, byColumns));
        await assertSameTensors(checkpoint.weights, toy);
        await checkpoint.close();
      }
    }
    await toy.close();
  });

  it('reads any row range of a joined tensor', async () => {
    const checkpoint = await openMetaFolder(`${FIXTURES}/toy-meta-mp4`);
    for (const name of [
      'layers.0.attention.wo.weight',
      'layers.0.feed_forward.w1.weight',
      'layers.1.feed_forward.w2.weight',
    ]) {
      const whole = await readTensorBytes(checkpoint.weights, name);
      const rowBytes = checkpoint.weights.tensors.get(name)!.shape[1]! * 2;
      for (const [first, rows] of [
        [0, 1],
        [20, 11],
        [31, 1],
        [3, 0],
      ] as const) {
        const part = new Uint8Array(rows * rowBytes);
        await checkpoint.weights.readRows(name, first, part);
        assert.deepEqual(part, whole.slice(first * rowBytes, (first + rows) * rowBytes));
      }
    }
    await checkpoint.close();
  });

  it('says which shard or tensor is missing or does not fit', async () => {
    const gap = await splitToy(4, false);
    await rm(join(gap, 'consolidated.02.pth'));
    await assert.rejects(openMetaFolder(gap), { code: 'E_FORMAT', message: /consolidated\.02\.pth is missing/ });
    const three = await splitToy(4, false);
    await rm(join(three, 'consolidated.03.pth'));
    await assert.rejects(
      openMetaFolder(three),
      /wrong tensors \(16\): "tok_embeddings\.weight" is \[36,32\]|wrong tensors/,
    );
    const mixed = await splitToy(2, false);
    await cp(`${FIXTURES}/toy-meta/consolidated.00.pth`, join(mixed, 'consolidated.01.pth'));
    await assert.rejects(openMetaFolder(mixed), { code: 'E_FORMAT' });
    const empty = await mkdtemp(join(folder, 'empty-'));
    await cp(`${FIXTURES}/toy-meta/params.json`, join(empty, 'params.json'));
    await assert.rejects(openMetaFolder(empty), /model\.safetensors: cannot be opened/);
  });

  it('refuses shards whose parts have different types or shapes', async () => {
    for (const other of [
      oneTensorShard('b', 'I32', [2, 2]),
      oneTensorShard('b', 'F32', [4]),
      oneTensorShard('b', 'F32', [1, 4]),
    ]) {
      assert.throws(
        () => joinedSource('x', [oneTensorShard('a', 'F32', [2, 2]), other], () => 'rows'),
        /do not fit together/,
      );
    }
    assert.throws(
      () => joinedSource('x', [oneTensorShard('a', 'F32', [4]), oneTensorShard('b', 'F32', [4])], () => 'rows'),
      /\[4\]/,
    );
  });
});

describe('writeMetaFolder', () => {
  it('round trips the toy bit for bit, and our own layout too', async () => {
    const toy = await openToyWeights();
    const model = { config: TOY_CONFIG, weights: toy };
    await writeMetaFolder(join(folder, 'meta'), model, { dtypeOf: () => 'BF16' });
    await writeCriaFolder(join(folder, 'cria'), model, { dtypeOf: () => 'BF16' });
    for (const format of ['meta', 'cria']) {
      const again = await openMetaFolder(join(folder, format));
      assert.equal(again.format, format);
      assert.deepEqual(again.config, TOY_CONFIG);
      await assertSameTensors(again.weights, toy);
      await again.close();
    }
    await toy.close();
  });

  it('writes tied embeddings under both names and recognises them again', async () => {
    const toy = await openToyWeights();
    const config: LlamaConfig = { ...TOY_CONFIG, tiedEmbeddings: true };
    await writeMetaFolder(join(folder, 'tied'), { config, weights: toy }, { dtypeOf: () => 'F32' });
    const file = await openTorchFile(join(folder, 'tied', 'consolidated.00.pth'));
    assert.deepEqual(
      await readTensorBytes(file, 'output.weight'),
      await readTensorBytes(file, 'tok_embeddings.weight'),
    );
    await file.close();
    const again = await openMetaFolder(join(folder, 'tied'));
    assert.deepEqual(again.config, config);
    await again.close();
    // The same with two separate copies, as Meta's own files have it.
    const copies = await mkdtemp(join(folder, 'copies-'));
    const shapes = [...toy.tensors].filter(([name]) => name !== 'output.weight');
    const tensors = await Promise.all(
      shapes.map(async ([name, { shape }]) => tensorInMemory(name, 'BF16', shape, await readTensorBytes(toy, name))),
    );
    const embedding = tensors.find(({ name }) => name === 'tok_embeddings.weight')!;
    await writeTorchFile(join(copies, 'consolidated.00.pth'), [...tensors, { ...embedding, name: 'output.weight' }]);
    await cp(`${FIXTURES}/toy-meta/params.json`, join(copies, 'params.json'));
    const third = await openMetaFolder(copies);
    assert.equal(third.config.tiedEmbeddings, true);
    await Promise.all([third.close(), toy.close()]);
  });

  it('refuses what params.json cannot say', async () => {
    const scaled = { ...TOY_CONFIG, ropeScaling: { ...TOY_CONFIG.ropeScaling!, factor: 32 } };
    assert.throws(() => metaParamsJson(scaled, 'out'), { code: 'E_CONFIG', message: /fixes the rope scaling/ });
    assert.throws(() => metaParamsJson({ ...TOY_CONFIG, headDim: 8 }, 'out'), /headDim = dim \/ numHeads/);
  });
});

describe('params.json', () => {
  const facts = { vocabSize: 99, isTied: false };

  it("reads every published model's file", () => {
    const base = { norm_eps: 1e-5, rope_theta: 500000, vocab_size: 128256 };
    const config = llamaConfigFromMeta(
      { ...base, dim: 8192, n_layers: 80, n_heads: 64, n_kv_heads: 8, ffn_dim_multiplier: 1.3, multiple_of: 4096 },
      facts,
      'x',
    );
    assert.deepEqual([config.ffnDim, config.headDim, config.maxSeqLen, config.ropeScaling], [28672, 128, 8192, null]);
    const llama2 = { dim: 4096, multiple_of: 256, n_heads: 32, n_layers: 32, norm_eps: 1e-5, vocab_size: -1 };
    const old = llamaConfigFromMeta(llama2, { vocabSize: 32000, isTied: false }, 'x');
    assert.deepEqual([old.vocabSize, old.numKvHeads, old.ffnDim, old.ropeTheta], [32000, 32, 11008, 10_000]);
  });

  it('finds factors for every feed-forward size', () => {
    for (const dim of [32, 64, 576, 4096]) {
      for (const hidden of [8, 84, 85, 86, 170, 171, 1536, 10922, 10923, 14336]) {
        const params = metaParamsJson({ ...TOY_CONFIG, dim, headDim: dim / 8, ffnDim: hidden }, 'x');
        const multiplier = (params.ffn_dim_multiplier as number | undefined) ?? null;
        assert.equal(ffnDim(dim, params.multiple_of as number, multiplier), hidden, `${dim} ${hidden}`);
      }
    }
  });

  it('refuses damaged and unsupported files', async () => {
    const good = JSON.parse(await readFile(`${FIXTURES}/toy-meta/params.json`, 'utf8')) as Record<string, unknown>;
    const cases: [Record<string, unknown>, RegExp][] = [
      [{ dim: 'x' }, /dim/],
      [{ n_layers: 2 ** 60 }, /numLayers/],
      [{ multiple_of: 0 }, /multiple_of/],
      [{ quantization_args: { scheme: 'x' } }, /quantization_args/],
      [{ vision_model: {} }, /vision_model/],
      [{ n_heads: 7 }, /headDim|numHeads/],
      [{ rope_scaling: { factor: 8 } }, /low_freq_factor/],
    ];
    for (const [change, message] of cases) {
      assert.throws(() => llamaConfigFromMeta({ ...good, ...change }, facts, 'params.json'), message);
    }
    const at = await mkdtemp(join(folder, 'bad-'));
    await writeFile(join(at, 'params.json'), `${'['.repeat(100_000)}`);
    await assert.rejects(openMetaFolder(at), { code: 'E_FORMAT', message: /nested deeper/ });
  });
});

describe('our own layout', () => {
  it("is Meta's names in one safetensors file", async () => {
    const file = await openSafetensors(join(folder, 'cria', 'model.safetensors'));
    assert.ok(file.tensors.has('layers.1.feed_forward.w3.weight'));
    await file.close();
  });
});
