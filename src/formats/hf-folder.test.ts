import { strict as assert } from 'node:assert';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { llamaConfigFromHf } from './hf-config.ts';
import { openHfFolder, openHfWeights } from './hf-folder.ts';
import { writeHfFolder } from './hf-write.ts';
import { openSafetensors } from './safetensors.ts';
import { tensorInMemory, writeSafetensors } from './safetensors-write.ts';
import { readTensorBytes, readTensorF32 } from './tensor-source.ts';
import { writeTorchFile } from './torch-write.ts';
import { assertSameTensors, FIXTURES, openToyWeights, TOY_CONFIG } from './toy-test-support.ts';

let folder = '';
before(async () => (folder = await mkdtemp(join(tmpdir(), 'cria-hf-'))));
after(() => rm(folder, { recursive: true }));

const TOKEN_IDS = { bosId: 1, eosIds: [2, 3], padId: null };

function failToAdd(): Promise<void> {
  return Promise.reject(new Error('no tokenizer'));
}

async function copyToy(change: (folder: string) => Promise<void>): Promise<string> {
  const copy = await mkdtemp(join(folder, 'toy-'));
  await cp(`${FIXTURES}/toy-hf`, copy, { recursive: true });
  await change(copy);
  return copy;
}

async function editJson(path: string, edit: (json: Record<string, unknown>) => void): Promise<void> {
  const json = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  edit(json);
  await writeFile(path, JSON.stringify(json));
}

describe('openHfFolder', () => {
  it("reads transformers' shards as Meta's tensors, q and k rows in Meta's order", async () => {
    const checkpoint = await openHfFolder(`${FIXTURES}/toy-hf`);
    const toy = await openToyWeights();
    assert.deepEqual(checkpoint.config, TOY_CONFIG);
    assert.deepEqual(checkpoint.tokenIds, TOKEN_IDS);
    await assertSameTensors(checkpoint.weights, toy);
    await Promise.all([checkpoint.close(), toy.close()]);
  });

  it('reads any row range of a reordered tensor', async () => {
    const checkpoint = await openHfFolder(`${FIXTURES}/toy-hf`);
    const name = 'layers.1.attention.wk.weight';
    const whole = await readTensorBytes(checkpoint.weights, name);
    for (const [first, rows] of [
      [0, 1],
      [3, 7],
      [5, 11],
      [15, 1],
      [4, 0],
    ] as const) {
      const part = new Uint8Array(rows * 64);
      await checkpoint.weights.readRows(name, first, part);
      assert.deepEqual(part, whole.slice(first * 64, (first + rows) * 64));
    }
    await checkpoint.close();
  });

  it('reads folders from before safetensors', async () => {
    const toy = await openHfWeights(`${FIXTURES}/toy-hf`);
    const tensors = [];
    for (const [name, { shape }] of toy.tensors) {
      tensors.push(tensorInMemory(name, 'BF16', shape, await readTensorBytes(toy, name)));
    }
    const old = await mkdtemp(join(folder, 'old-'));
    await cp(`${FIXTURES}/toy-hf/config.json`, join(old, 'config.json'));
    await writeTorchFile(join(old, 'pytorch_model.bin'), tensors);
    const [checkpoint, expected] = [await openHfFolder(old), await openToyWeights()];
    await assertSameTensors(checkpoint.weights, expected);
    await Promise.all([checkpoint.close(), expected.close(), toy.close()]);
  });

  it('refuses shard names that leave the folder', async () => {
    for (const name of ['../x.safetensors', '/etc/passwd', 'a/b', '..', '.hidden', 'a\\b', 'a\0b', '']) {
      const copy = await copyToy((at) =>
        editJson(join(at, 'model.safetensors.index.json'), (json) => {
          (json.weight_map as Record<string, string>)['lm_head.weight'] = name;
        }),
      );
      await assert.rejects(openHfFolder(copy), { code: 'E_FORMAT', message: /index\.json.* is not a plain file name/ });
    }
  });

  it('names every missing, wrong and unknown tensor in one error', async () => {
    const file = await openSafetensors(`${FIXTURES}/toy-hf/model-00004-of-00004.safetensors`);
    const head = await file.read('lm_head.weight');
    await file.close();
    const copy = await copyToy(async (at) => {
      const shard = [
        tensorInMemory('lm_head.weight', 'BF16', [24, 64], head),
        tensorInMemory('model.layers.0.mlp.bias', 'F32', [1], new Float32Array(1)),
      ];
      await writeSafetensors(join(at, 'model-00004-of-00004.safetensors'), shard);
      await editJson(join(at, 'model.safetensors.index.json'), (json) => {
        const map = json.weight_map as Record<string, string>;
        delete map['model.norm.weight'];
        delete map['model.layers.1.mlp.up_proj.weight'];
        map['model.layers.0.mlp.bias'] = 'model-00004-of-00004.safetensors';
      });
    });
    await assert.rejects(openHfFolder(copy), (error: Error) => {
      assert.match(
        error.message,
        /missing tensors \(2\): "model\.layers\.1\.mlp\.up_proj\.weight", "model\.norm\.weight"/,
      );
      assert.match(error.message, /wrong tensors \(1\): "lm_head\.weight" is \[24,64\], expected \[48,32\]/);
      assert.match(error.message, /unknown tensors \(1\): "model\.layers\.0\.mlp\.bias"/);
      return true;
    });
  });

  it('names shards and tensors of the index that are not there', async () => {
    const copy = await copyToy((at) => rm(join(at, 'model-00002-of-00004.safetensors')));
    await assert.rejects(openHfFolder(copy), {
      code: 'E_FORMAT',
      message: /model-00002-of-00004\.safetensors: cannot be opened/,
    });
    const other = await copyToy((at) =>
      editJson(join(at, 'model.safetensors.index.json'), (json) => {
        (json.weight_map as Record<string, string>)['model.norm.weight'] = 'model-00001-of-00004.safetensors';
      }),
    );
    await assert.rejects(openHfFolder(other), /"model\.norm\.weight" in model-00001/);
  });
});

describe('llamaConfigFromHf', () => {
  const base = {
    model_type: 'llama',
    hidden_size: 64,
    intermediate_size: 96,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    vocab_size: 100,
  };

  it("uses transformers' defaults for what is absent", () => {
    assert.deepEqual(llamaConfigFromHf(base, 'x'), {
      dim: 64,
      numLayers: 2,
      numHeads: 4,
      numKvHeads: 4,
      headDim: 16,
      ffnDim: 96,
      vocabSize: 100,
      normEps: 1e-6,
      ropeTheta: 10_000,
      ropeScaling: null,
      maxSeqLen: 2048,
      tiedEmbeddings: false,
    });
  });

  it('reads the rope values of transformers 4, its old "type", and head_dim', () => {
    const llama3 = {
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
      rope_type: 'llama3',
    };
    const config = llamaConfigFromHf({ ...base, rope_theta: 5e5, rope_scaling: llama3, head_dim: 32 }, 'x');
    assert.equal(config.ropeTheta, 5e5);
    assert.equal(config.headDim, 32);
    assert.deepEqual(config.ropeScaling, {
      factor: 32,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPosition: 8192,
    });
    assert.equal(llamaConfigFromHf({ ...base, rope_scaling: { type: 'default' } }, 'x').ropeScaling, null);
  });

  it('refuses what this project would compute wrongly', () => {
    const cases: [Record<string, unknown>, RegExp][] = [
      [{ model_type: 'qwen2' }, /"qwen2" is not supported/],
      [{ hidden_act: 'gelu' }, /"gelu"/],
      [{ attention_bias: true }, /attention_bias/],
      [{ mlp_bias: true }, /mlp_bias/],
      [{ quantization_config: { quant_method: 'gptq' } }, /quantised/],
      [{ rope_scaling: { rope_type: 'yarn' } }, /"yarn"/],
      [{ rope_scaling: { rope_type: 'llama3' } }, /factor/],
      [{ num_key_value_heads: 3 }, /multiple of numKvHeads/],
      [{ hidden_size: 2 ** 60 }, /dim must be/],
      [{ hidden_size: '64' }, /hidden_size/],
      [{ num_attention_heads: 3 }, /headDim/],
    ];
    for (const [change, message] of cases) {
      assert.throws(() => llamaConfigFromHf({ ...base, ...change }, 'config.json'), message);
    }
  });
});

describe('writeHfFolder', () => {
  it('writes one file or shards with an index, and reads back the same bits and configuration', async () => {
    const toy = await openToyWeights();
    for (const [maxShardBytes, numFiles] of [
      [1e9, 1],
      [20_000, 4],
    ] as const) {
      const path = join(folder, `out-${numFiles}`);
      const model = { config: TOY_CONFIG, weights: toy, tokenIds: TOKEN_IDS };
      await writeHfFolder(path, model, { dtypeOf: () => 'BF16', maxShardBytes });
      const files = await readdir(path);
      assert.equal(files.filter((name) => name.endsWith('.safetensors')).length, numFiles);
      assert.equal(files.includes('model.safetensors.index.json'), numFiles > 1);
      const again = await openHfFolder(path);
      assert.deepEqual(again.config, TOY_CONFIG);
      assert.deepEqual(again.tokenIds, TOKEN_IDS);
      await assertSameTensors(again.weights, toy);
      await again.close();
    }
    await toy.close();
  });

  it('converts to float32 exactly and to float16 by rounding', async () => {
    const toy = await openToyWeights();
    const model = { config: TOY_CONFIG, weights: toy, tokenIds: TOKEN_IDS };
    for (const dtype of ['F32', 'F16'] as const) {
      const path = join(folder, `out-${dtype}`);
      await writeHfFolder(path, model, { dtypeOf: () => dtype });
      const again = await openHfFolder(path);
      for (const name of toy.tensors.keys()) {
        const expected = await readTensorF32(toy, name);
        const actual = await readTensorF32(again.weights, name);
        for (let i = 0; i < expected.length; i++) {
          const tolerance = dtype === 'F32' ? 0 : Math.max(2 ** -25, Math.abs(expected[i]!) * 2 ** -11);
          assert.ok(Math.abs(actual[i]! - expected[i]!) <= tolerance, `${name}[${i}]`);
        }
      }
      await again.close();
    }
    await toy.close();
  });

  it('refuses a folder that holds files and leaves nothing behind when it fails', async () => {
    const toy = await openToyWeights();
    const model = { config: TOY_CONFIG, weights: toy, tokenIds: TOKEN_IDS };
    const work = await mkdtemp(join(folder, 'busy-'));
    await writeFile(join(work, 'mine'), '');
    await assert.rejects(writeHfFolder(work, model, { dtypeOf: () => 'F32' }), { code: 'E_USAGE' });
    const path = join(work, 'new');
    await assert.rejects(writeHfFolder(path, model, { dtypeOf: () => 'F32', addFiles: failToAdd }), /no tokenizer/);
    assert.deepEqual(await readdir(work), ['mine']);
    await toy.close();
  });
});
