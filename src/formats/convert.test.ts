import { strict as assert } from 'node:assert';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { llamaWeightShapes, type LlamaConfig } from '../model/config.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { trainBpe } from '../tokenizer/train-bpe.ts';
import { convertCheckpoint, type ConvertFormat } from './convert.ts';
import { checkpointTokenizer } from './convert-tokenizer.ts';
import { writeCriaFolder } from './meta-write.ts';
import { openCheckpoint } from './open-checkpoint.ts';
import { readTensorF32, type TensorInfo, type TensorSource } from './tensor-source.ts';
import { saveTokenizerFolder } from './tokenizer-files.ts';
import { assertSameTensors, assertSameValues, FIXTURES, openToyWeights, TOY_CONFIG } from './toy-test-support.ts';

let folder = '';
before(async () => (folder = await mkdtemp(join(tmpdir(), 'cria-convert-'))));
after(() => rm(folder, { recursive: true }));

let count = 0;
async function converted(from: string, to: ConvertFormat, type: string | null = null): Promise<string> {
  const checkpoint = await openCheckpoint(from);
  const out = join(folder, `${++count}${to === 'gguf' ? '.gguf' : ''}`);
  await convertCheckpoint(checkpoint, out, { to, type });
  await checkpoint.close();
  return out;
}

async function assertToy(path: string): Promise<void> {
  const [checkpoint, toy] = [await openCheckpoint(path), await openToyWeights()];
  assert.deepEqual(checkpoint.config, TOY_CONFIG);
  await assertSameTensors(checkpoint.weights, toy);
  await Promise.all([checkpoint.close(), toy.close()]);
}

/** A model of pseudo-random bfloat16 weights in memory. */
function smallModel(config: LlamaConfig): TensorSource {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, shape] of llamaWeightShapes(config)) {
    const byteLength = shape.reduce((a, b) => a * b, 1) * 2;
    tensors.set(name, { dtype: 'BF16', shape, byteLength, location: null });
  }
  return {
    path: 'memory',
    tensors,
    readRows(name, firstRow, target) {
      const rowBytes = (tensors.get(name)!.shape[1] ?? 0) * 2;
      for (let i = 0; i < target.length; i += 2) {
        const place = firstRow * rowBytes + i;
        target[i] = (place * 31 + name.length * 17) & 255;
        target[i + 1] = 0x3c + ((place >> 3) & 1) * 0x80;
      }
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
}

describe('convertCheckpoint', () => {
  it('goes round bit for bit: HF, GGUF and back; Meta, HF and back; and through our own layout', async () => {
    await assertToy(await converted(await converted(`${FIXTURES}/toy-hf`, 'gguf'), 'hf'));
    await assertToy(await converted(await converted(`${FIXTURES}/toy-meta-mp4`, 'hf'), 'meta'));
    await assertToy(await converted(await converted(await converted(`${FIXTURES}/toy-meta`, 'cria'), 'gguf'), 'meta'));
    const f32 = await converted(`${FIXTURES}/toy-hf`, 'hf', 'f32');
    const again = await converted(await converted(f32, 'gguf'), 'hf');
    assert.ok(
      (await readFile(join(again, 'model.safetensors'))).equals(await readFile(join(f32, 'model.safetensors'))),
    );
  });

  it('writes quantised weights as the float32 values they stand for', async () => {
    const [source, out] = [await openCheckpoint(`${FIXTURES}/toy.gguf`), await converted(`${FIXTURES}/toy.gguf`, 'hf')];
    const result = await openCheckpoint(out);
    assert.deepEqual(result.config, TOY_CONFIG);
    assert.ok([...result.weights.tensors.values()].every(({ dtype }) => dtype === 'F32'));
    await assertSameValues(result.weights, source.weights);
    await Promise.all([source.close(), result.close()]);
  });

  it('keeps a single weight in float32 where the type of the rest cannot hold it', async () => {
    const toy = await openToyWeights();
    const odd: TensorSource = {
      ...toy,
      tensors: new Map(
        [...toy.tensors].map(([n, info]) => [
          n,
          n === 'norm.weight' ? { ...info, dtype: 'F32', byteLength: 128 } : info,
        ]),
      ),
      readRows: (name, firstRow, target) =>
        name === 'norm.weight'
          ? Promise.resolve(target.set(new Uint8Array(new Float32Array(32).fill(0.1).buffer)))
          : toy.readRows(name, firstRow, target),
    };
    const checkpoint = { ...(await openCheckpoint(`${FIXTURES}/toy-hf`)), weights: odd };
    const out = join(folder, 'odd');
    await convertCheckpoint(checkpoint, out, { to: 'hf', type: null });
    const result = await openCheckpoint(out);
    assert.equal(result.weights.tensors.get('norm.weight')?.dtype, 'F32');
    assert.equal(result.weights.tensors.get('layers.0.ffn_norm.weight')?.dtype, 'BF16');
    assert.equal((await readTensorF32(result.weights, 'norm.weight'))[3], Math.fround(0.1));
    await Promise.all([result.close(), checkpoint.close(), toy.close()]);
  });

  it('reports progress up to the whole, and refuses types the format cannot hold', async () => {
    const checkpoint = await openCheckpoint(`${FIXTURES}/toy-hf`);
    const seen: number[] = [];
    const onProgress = (_: string, done: number, total: number) => void seen.push(done / total);
    await convertCheckpoint(checkpoint, join(folder, 'p.gguf'), { to: 'gguf', type: 'q8_0', onProgress });
    assert.equal(seen.at(-1), 1);
    assert.ok(seen.every((value, i) => i === 0 || value >= seen[i - 1]!));
    for (const [to, type] of [
      ['hf', 'q4_0'],
      ['meta', 'x'],
      ['gguf', 'q3_k'],
    ] as const) {
      const convert = convertCheckpoint(checkpoint, join(folder, 'never'), { to, type });
      await assert.rejects(convert, { code: 'E_USAGE', message: /choose one of: f32, f16, bf16/ });
    }
    await checkpoint.close();
    assert.ok(!(await readdir(folder)).includes('never'));
  });

  it('carries the tokenizer through every format', async () => {
    const text = 'It was the best of times, it was the worst of times, it was the age of wisdom.';
    const tokenizer = trainBpe([text], { vocabSize: 300 });
    const config: LlamaConfig = { ...TOY_CONFIG, vocabSize: tokenizer.vocabSize + 4 };
    const start = join(folder, 'with-tokenizer');
    await writeCriaFolder(start, { config, weights: smallModel(config) }, {
      dtypeOf: () => 'BF16',
      addFiles: (at) => saveTokenizerFolder(at, tokenizer),
    }); // prettier-ignore
    const gguf = await converted(start, 'gguf', 'q8_0');
    const paths = [start, gguf, await converted(gguf, 'gguf', 'f16'), await converted(start, 'meta')];
    for (const path of paths) {
      const checkpoint = await openCheckpoint(path);
      const read = (await checkpointTokenizer(checkpoint)) as Tokenizer;
      assert.deepEqual(read.encode(text), tokenizer.encode(text), path);
      assert.equal(read.decode(read.encode(text)), text);
      await checkpoint.close();
    }
    const opened = await openCheckpoint(gguf);
    assert.equal((opened.metadata['tokenizer.ggml.tokens'] as string[]).length, config.vocabSize);
    await opened.close();
    const hf = await converted(gguf, 'hf');
    assert.ok((await readdir(hf)).includes('tokenizer.json'));
    const { bos_token_id: bos } = JSON.parse(await readFile(join(hf, 'config.json'), 'utf8')) as {
      bos_token_id: number;
    };
    assert.equal(bos, tokenizer.bosId);
  });
});
