/** Merging against what PEFT merges (bench/peers/peft_fixtures.py), and adapters that cannot be merged. */
import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { assertClose } from '../../test/support.ts';
import { runCommand } from '../../test/run-command.ts';
import type { Checkpoint } from './checkpoint.ts';
import { convertCheckpoint } from './convert.ts';
import { openHfWeights } from './hf-folder.ts';
import { mergeAdapter } from './merge-adapter.ts';
import { openCheckpoint } from './open-checkpoint.ts';
import { openPeftAdapter, type PeftAdapter } from './peft.ts';
import { openSafetensors } from './safetensors.ts';
import { tensorInMemory, writeSafetensors } from './safetensors-write.ts';
import { readTensorBytes, readTensorF32 } from './tensor-source.ts';
import { FIXTURES } from './toy-test-support.ts';

let folder = '';
let toy: Checkpoint;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cria-merge-'));
  toy = await openCheckpoint(`${FIXTURES}/toy-hf`);
});
after(async () => {
  await toy.close();
  await rm(folder, { recursive: true });
});

/** A copy of an adapter with some settings changed. */
async function changed(name: string, settings: object): Promise<string> {
  const copy = await mkdtemp(join(folder, 'adapter-'));
  await cp(`${FIXTURES}/${name}`, copy, { recursive: true });
  const path = join(copy, 'adapter_config.json');
  const config = JSON.parse(await readFile(path, 'utf8')) as object;
  await writeFile(path, JSON.stringify({ ...config, ...settings }));
  return copy;
}

async function withTensors(name: string, rename: (tensor: string) => string | null): Promise<string> {
  const copy = await changed(name, {});
  const source = await openSafetensors(`${FIXTURES}/${name}/adapter_model.safetensors`);
  const tensors = [];
  for (const [tensor, { shape }] of source.tensors) {
    const renamed = rename(tensor);
    if (renamed !== null) tensors.push(tensorInMemory(renamed, 'F32', shape, await readTensorBytes(source, tensor)));
  }
  await writeSafetensors(join(copy, 'adapter_model.safetensors'), tensors);
  await source.close();
  return copy;
}

async function using<T>(adapter: PeftAdapter, use: (adapter: PeftAdapter) => Promise<T>): Promise<T> {
  try {
    return await use(adapter);
  } finally {
    await adapter.close();
  }
}

describe('mergeAdapter', () => {
  for (const name of ['toy-lora', 'toy-dora']) {
    it(`gives the weights that PEFT gives for ${name}`, async () => {
      const out = join(folder, name);
      await using(await openPeftAdapter(`${FIXTURES}/${name}`), async (adapter) => {
        const merged = mergeAdapter(toy, adapter, { keepsType: false });
        await convertCheckpoint(merged, out, { to: 'hf', type: 'f32' });
      });
      const [actual, expected] = [
        await openHfWeights(out),
        await openSafetensors(`${FIXTURES}/${name}/merged.safetensors`),
      ];
      assert.equal(expected.tensors.size, 12);
      for (const tensor of expected.tensors.keys()) {
        const [ours, theirs] = [await readTensorF32(actual, tensor), await readTensorF32(expected, tensor)];
        assertClose(ours, theirs, { atol: 1e-6, rtol: 1e-6 }, tensor);
      }
      await Promise.all([actual.close(), expected.close()]);
    });
  }

  it('keeps the type of the base and rounds once', async () => {
    await using(await openPeftAdapter(`${FIXTURES}/toy-lora`), async (adapter) => {
      const name = 'layers.1.feed_forward.w2.weight';
      const [kept, wide] = [true, false].map((keepsType) => mergeAdapter(toy, adapter, { keepsType }).weights);
      assert.equal(kept!.tensors.get(name)!.dtype, 'BF16');
      const [rounded, exact] = [await readTensorF32(kept!, name), await readTensorF32(wide!, name)];
      for (const [i, value] of exact.entries()) assert.ok(Math.abs(rounded[i]! - value) <= Math.abs(value) * 2 ** -8);
      assert.notDeepEqual(rounded, exact);
      assert.equal(kept!.tensors.get('norm.weight'), toy.weights.tensors.get('norm.weight'));
    });
  });

  it('merges into quantised weights as float32', async () => {
    const path = join(folder, 'toy-q8.gguf');
    await convertCheckpoint(toy, path, { to: 'gguf', type: 'q8_0' });
    const quantised = await openCheckpoint(path);
    await using(await openPeftAdapter(`${FIXTURES}/toy-lora`), async (adapter) => {
      const { weights } = mergeAdapter(quantised, adapter, { keepsType: true });
      const name = 'layers.0.attention.wk.weight';
      assert.deepEqual([quantised.weights.tensors.get(name)!.dtype, weights.tensors.get(name)!.dtype], ['Q8_0', 'F32']);
      const exact = await readTensorF32(mergeAdapter(toy, adapter, { keepsType: false }).weights, name);
      assertClose(await readTensorF32(weights, name), exact, { atol: 0.005 });
    });
    await quantised.close();
  });

  it('gives the same rows in pieces', async () => {
    await using(await openPeftAdapter(`${FIXTURES}/toy-lora`), async (adapter) => {
      const { weights } = mergeAdapter(toy, adapter, { keepsType: false });
      for (const name of ['layers.0.attention.wq.weight', 'tok_embeddings.weight']) {
        const whole = await readTensorBytes(weights, name);
        const piece = new Uint8Array(5 * 32 * 4);
        await weights.readRows(name, 7, piece);
        assert.deepEqual(piece, whole.slice(7 * 32 * 4, 12 * 32 * 4));
      }
    });
  });

  it('refuses an adapter of another model, and one for a tied matrix', async () => {
    await using(await openPeftAdapter(`${FIXTURES}/toy-lora`), (adapter) => {
      const tied = { ...toy, config: { ...toy.config, tiedEmbeddings: true } };
      assert.throws(() => mergeAdapter(tied, adapter, { keepsType: true }), /one matrix for embedding and output/);
      const tensors = new Map(toy.weights.tensors);
      const name = 'layers.1.attention.wo.weight';
      tensors.set(name, { ...tensors.get(name)!, shape: [32, 64] });
      const other = { ...toy, weights: { ...toy.weights, tensors } };
      assert.throws(
        () => mergeAdapter(other, adapter, { keepsType: true }),
        /wo\.weight" of shape \[32,32\].*\[32,64\]/,
      );
      tensors.delete(name);
      assert.throws(() => mergeAdapter(other, adapter, { keepsType: true }), /has no layers\.1\.attention\.wo\.weight/);
      return Promise.resolve();
    });
  });
});

describe('openPeftAdapter', () => {
  it('refuses what is more than plain LoRA, by name', async () => {
    for (const [settings, message] of [
      [{ peft_type: 'IA3' }, /peft_type "IA3"/],
      [{ bias: 'all', use_qalora: true }, /bias "all", use_qalora/],
      [{ init_lora_weights: 'pissa' }, /init_lora_weights "pissa", which changes the base/],
      [{ layer_replication: [[0, 1]] }, /layer_replication/],
      [{ alpha_pattern: { '(q|k)_proj': 3 } }, /alpha_pattern .* spell it out/],
      [{ lora_alpha: 'x' }, /adapter_config\.json: lora_alpha/],
    ] as const) {
      await assert.rejects(openPeftAdapter(await changed('toy-lora', settings)), message);
    }
  });

  it('refuses tensors that belong to nothing, and missing halves', async () => {
    const wrongName = await withTensors('toy-lora', (name) =>
      name.replace('layers.0.mlp.up_proj', 'layers.0.mlp.router'),
    );
    await assert.rejects(openPeftAdapter(wrongName), /change nothing in a Llama model: .*router/);
    const noB = await withTensors('toy-lora', (name) => (name.includes('0.self_attn.q_proj.lora_B') ? null : name));
    await assert.rejects(openPeftAdapter(noB), /has no tensor .*lora_B/);
    const noA = await withTensors('toy-lora', (name) => (name.includes('0.self_attn.q_proj.lora_A') ? null : name));
    await assert.rejects(openPeftAdapter(noA), /lora_B\.weight" without .*lora_A/);
    const empty = await withTensors('toy-lora', () => null);
    await assert.rejects(openPeftAdapter(empty), /changes no weight/);
    await assert.rejects(openPeftAdapter(`${FIXTURES}/toy-hf`), /has no adapter_config\.json/);
  });
});

describe('cria merge', () => {
  it('writes a folder, or a GGUF file by its name', async () => {
    const model = ['merge', '--model', `${FIXTURES}/toy-hf`, '--adapter', `${FIXTURES}/toy-lora`];
    for (const [name, format, type] of [
      ['merged', 'hf', 'bf16'],
      ['merged.gguf', 'gguf', 'bf16'],
    ]) {
      const out = join(folder, name!);
      const { status, out: said, err } = await runCommand([...model, '--out', out, '--json']);
      assert.equal(status, 0, err);
      assert.deepEqual(JSON.parse(said), { out, format, type, merged_weights: 15 });
      assert.match(err, /trained on test\/fixtures\/formats\/toy-hf/);
      const checkpoint = await openCheckpoint(out);
      assert.equal(checkpoint.format, format);
      await checkpoint.close();
    }
  });
});
