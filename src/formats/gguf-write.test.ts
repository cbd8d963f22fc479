import { strict as assert } from 'node:assert';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openGgufCheckpoint } from './gguf-checkpoint.ts';
import { writeGgufModel } from './gguf-model-write.ts';
import { ggufTensorType } from './gguf-types.ts';
import { writeGguf } from './gguf-write.ts';
import { openGguf } from './gguf.ts';
import { readTensorBytes, type TensorSource } from './tensor-source.ts';
import { assertSameTensors, assertSameValues, FIXTURES, openToyWeights, TOY_CONFIG } from './toy-test-support.ts';

let folder = '';
before(async () => (folder = await mkdtemp(join(tmpdir(), 'cria-gguf-write-'))));
after(() => rm(folder, { recursive: true }));

describe('writeGguf', () => {
  it('writes the very bytes of the gguf package, given its metadata and tensors', async () => {
    const source = await openGguf(`${FIXTURES}/toy.gguf`);
    const tensors = [...source.tensors].map(([name, { dtype, shape }]) => ({
      name,
      dtype,
      shape,
      chunks: async function* () {
        yield await readTensorBytes(source, name);
      },
    }));
    const path = join(folder, 'copy.gguf');
    await writeGguf(path, source.metadata, tensors);
    assert.ok((await readFile(path)).equals(await readFile(`${FIXTURES}/toy.gguf`)));
    await source.close();
  });
});

describe('writeGgufModel', () => {
  it('round trips configuration, metadata and weights: f32 to the value, bf16 to the bit', async () => {
    const toy = await openToyWeights();
    for (const type of ['f32', 'bf16'] as const) {
      const path = join(folder, `${type}.gguf`);
      const name = { type: 'string', value: 'toy' } as const;
      await writeGgufModel(
        path,
        { config: TOY_CONFIG, weights: toy },
        { type, metadata: new Map([['general.name', name]]) },
      );
      const again = await openGgufCheckpoint(path);
      assert.deepEqual(again.config, TOY_CONFIG);
      assert.equal(again.metadata['general.name'], 'toy');
      await assertSameValues(again.weights, toy);
      if (type === 'bf16') await assertSameTensors(withoutNorms(again.weights), withoutNorms(toy));
      await again.close();
    }
    await toy.close();
  });

  it('refuses weights that are not finite when quantising, and names the tensor', async () => {
    const toy = await openToyWeights();
    const broken: TensorSource = {
      ...toy,
      async readRows(name, firstRow, target) {
        await toy.readRows(name, firstRow, target);
        if (name.endsWith('1.attention.wv.weight')) target.set([0x80, 0x7f], 6); // bfloat16 infinity
      },
    };
    const write = writeGgufModel(
      join(folder, 'x.gguf'),
      { config: TOY_CONFIG, weights: broken },
      { type: 'q8_0', metadata: new Map() },
    );
    await assert.rejects(write, { code: 'E_FORMAT', message: /"layers\.1\.attention\.wv\.weight": holds Infinity/ });
  });
});

/** The weights that keep their type in a GGUF file; norms are float32 there. */
function withoutNorms(source: TensorSource): TensorSource {
  return { ...source, tensors: new Map([...source.tensors].filter(([name]) => !name.endsWith('norm.weight'))) };
}

describe('ggufTensorType', () => {
  const config = { ...TOY_CONFIG, numLayers: 32 };
  const layersWith = (type: 'q4_k_m' | 'q4_k_s' | 'q5_k_m', weight: string, dtype: string) =>
    [...Array(32).keys()].filter((i) => ggufTensorType(type, `layers.${i}.${weight}.weight`, 4096, config) === dtype);

  it("follows llama.cpp's mixes: of 32 layers, these get more bits", () => {
    const some = [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31];
    assert.deepEqual(layersWith('q4_k_m', 'attention.wv', 'Q6_K'), some);
    assert.deepEqual(layersWith('q5_k_m', 'feed_forward.w2', 'Q6_K'), some);
    assert.deepEqual(layersWith('q4_k_s', 'feed_forward.w2', 'Q5_K'), [0, 1, 2, 3]);
    assert.equal(layersWith('q4_k_m', 'attention.wq', 'Q4_K').length, 32);
    assert.equal(ggufTensorType('q4_k_m', 'output.weight', 4096, config), 'Q6_K');
    assert.equal(ggufTensorType('q4_0', 'output.weight', 4096, config), 'Q6_K');
    assert.equal(ggufTensorType('q8_0', 'output.weight', 4096, config), 'Q8_0');
    assert.equal(ggufTensorType('q4_k_m', 'tok_embeddings.weight', 4096, config), 'Q4_K');
    assert.equal(ggufTensorType('q4_k_m', 'tok_embeddings.weight', 4096, { ...config, tiedEmbeddings: true }), 'Q6_K');
    assert.equal(ggufTensorType('f16', 'layers.0.ffn_norm.weight', 4096, config), 'F32');
  });

  it('falls back to blocks of 32, then to f16, where rows are not filled', () => {
    assert.equal(ggufTensorType('q4_k_m', 'layers.9.attention.wq.weight', 576, config), 'Q5_0');
    assert.equal(ggufTensorType('q5_k_m', 'layers.0.attention.wq.weight', 576, config), 'Q5_1');
    assert.equal(ggufTensorType('q4_k_m', 'output.weight', 576, config), 'Q8_0');
    assert.equal(ggufTensorType('q4_0', 'layers.0.feed_forward.w2.weight', 88, config), 'F16');
  });
});
