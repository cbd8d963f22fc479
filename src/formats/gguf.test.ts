import { strict as assert } from 'node:assert';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { LlamaConfig, RopeScaling } from '../model/config.ts';
import { openGgufCheckpoint } from './gguf-checkpoint.ts';
import { ggufConfigMetadata, llamaConfigFromGguf, ropeFactors } from './gguf-config.ts';
import type { GgufValue } from './gguf-header.ts';
import { openGguf } from './gguf.ts';
import { readTensorF32 } from './tensor-source.ts';
import { FIXTURES, openToyWeights, TOY_CONFIG } from './toy-test-support.ts';

let folder = '';
before(async () => (folder = await mkdtemp(join(tmpdir(), 'cria-gguf-'))));
after(() => rm(folder, { recursive: true }));

/** Little-endian pieces of a hand-made file. */
const u32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: number | bigint): Buffer => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const text = (value: string): Buffer => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const header = (tensors: number | bigint, keys: number | bigint, version = 3): Buffer =>
  Buffer.concat([Buffer.from('GGUF'), u32(version), u64(tensors), u64(keys)]);
const entry = (name: string, dims: (number | bigint)[], type: number, offset: number | bigint): Buffer =>
  Buffer.concat([text(name), u32(dims.length), ...dims.map(u64), u32(type), u64(offset)]);

async function craft(parts: Buffer[], dataBytes = 0): Promise<string> {
  const path = join(folder, 'crafted.gguf');
  const head = Buffer.concat(parts);
  await writeFile(path, Buffer.concat([head, Buffer.alloc(((32 - (head.length % 32)) % 32) + dataBytes)]));
  return path;
}

function partOfTwo(index: number): Buffer[] {
  const keys = [text('split.count'), u32(2), Buffer.from(Uint16Array.of(2).buffer)];
  return [header(1, 1), ...keys, entry(`t${index}`, [4], 0, 0)];
}

/** Metadata as another program would write it, without the keys of our own. */
function withoutOurs(config: LlamaConfig): Map<string, GgufValue> {
  return new Map([...ggufConfigMetadata(config)].filter(([key]) => !key.startsWith('cria.')));
}

describe('openGguf', () => {
  it('reads metadata of every type as the gguf package wrote it', async () => {
    const file = await openGguf(`${FIXTURES}/toy.gguf`);
    const value = (key: string) => file.metadata.get(`test.${key}`);
    assert.equal(file.version, 3);
    assert.deepEqual(value('uint8'), { type: 'uint8', value: 200 });
    assert.deepEqual(value('int8'), { type: 'int8', value: -100 });
    assert.deepEqual(value('uint16'), { type: 'uint16', value: 60_000 });
    assert.deepEqual(value('int16'), { type: 'int16', value: -30_000 });
    assert.deepEqual(value('uint32'), { type: 'uint32', value: 4_000_000_000 });
    assert.deepEqual(value('int32'), { type: 'int32', value: -2_000_000_000 });
    assert.deepEqual(value('float32'), { type: 'float32', value: Math.fround(0.1) });
    assert.deepEqual(value('float64'), { type: 'float64', value: 0.1 });
    assert.deepEqual(value('uint64'), { type: 'uint64', value: 2n ** 63n + 1n });
    assert.deepEqual(value('int64'), { type: 'int64', value: -(2n ** 62n) - 1n });
    assert.deepEqual(value('bool'), { type: 'bool', value: true });
    assert.deepEqual(value('string'), { type: 'string', value: 'h\u00e9llo \u{1f999}' });
    assert.deepEqual(value('floats'), { type: 'array', elementType: 'float32', value: [0.5, -1.5] });
    assert.deepEqual(value('bools'), { type: 'array', elementType: 'bool', value: [true, false] });
    assert.equal((file.metadata.get('tokenizer.ggml.tokens')!.value as string[])[47], 't45');
    await file.close();
  });

  it('reads headers larger than the first read, and arrays of arrays', async () => {
    const long = 'x'.repeat(17_000_000);
    const nested = [u32(9), u32(9), u64(2), u32(4), u64(1), u32(7), u32(8), u64(1), text('y')];
    const path = await craft([header(0, 2), text('long'), u32(8), text(long), text('nested'), ...nested]);
    const file = await openGguf(path);
    assert.equal(file.metadata.get('long')?.value, long);
    assert.deepEqual(file.metadata.get('nested')?.value, [[7], ['y']]);
    await file.close();
  });

  it('joins the parts of a split file', async () => {
    const path = join(folder, 'model-00001-of-00002.gguf');
    await writeFile(join(folder, 'model-00002-of-00002.gguf'), await readFile(await craft(partOfTwo(2), 16)));
    const first = await readFile(await craft(partOfTwo(1), 16));
    first.writeFloatLE(1.5, first.length - 16);
    await writeFile(path, first);
    const file = await openGguf(path);
    assert.deepEqual([...(await readTensorF32(file, 't1'))], [1.5, 0, 0, 0]);
    assert.deepEqual([...(await readTensorF32(file, 't2'))], [0, 0, 0, 0]);
    await file.close();
    await rm(join(folder, 'model-00002-of-00002.gguf'));
    await assert.rejects(openGguf(path), /model-00002-of-00002\.gguf: cannot be opened/);
    await assert.rejects(openGguf(await craft(partOfTwo(1), 16)), /give the first/);
  });

  it('refuses every kind of damaged header with a FormatError that names the file and the fault', async () => {
    const two60 = 2n ** 60n;
    const tensor = (...args: Parameters<typeof entry>) => [header(1, 0), entry(...args)];
    const key = (...value: Buffer[]) => [header(0, 1), text('k'), ...value];
    const cases: [Buffer[], RegExp, number?][] = [
      [[], /is empty; fetch it again/],
      [[Buffer.from('GGML'), Buffer.alloc(40)], /is no GGUF file/],
      [[header(0, 0, 1)], /version 1/],
      [[header(0, 0, 0x03000000)], /big-endian/],
      [[header(two60, 0)], /claims 1152921504606846976 tensors/],
      [[header(0, two60)], /metadata keys/],
      [[header(1, 0)], /the file ends at/],
      [key(u32(13)), /metadata type 13 is unknown/],
      [key(u32(8), u64(two60)), /bytes of text/],
      [key(u32(9), u32(4), u64(two60)), /array elements/],
      [key(u32(9), u32(8), u64(1000)), /array elements of string/],
      [key(u32(9), u32(4), u64(5), Buffer.alloc(15)), /5 elements of uint32 reach past the end/],
      [key(u32(7), Buffer.of(2)), /boolean is 2/],
      [
        key(u32(9), ...Array.from({ length: 5 }, () => Buffer.concat([u32(9), u64(1)])), Buffer.alloc(64)),
        /nested deeper/,
      ],
      [[header(0, 2), text('k'), u32(7), Buffer.of(1), text('k'), u32(7), Buffer.of(1)], /"k" is there twice/],
      [[header(0, 1), text('general.alignment'), u32(4), u32(24)], /alignment must be a power of two/],
      [[header(0, 1), text('general.alignment'), u32(4), u32(0)], /alignment must be a power of two/],
      [[header(0, 1), text('general.alignment'), u32(8), text('32')], /alignment must be a power of two/],
      [tensor('t', [1, 1, 1, 1, 1], 0, 0), /5 dimensions/],
      [tensor('t', [two60], 0, 0), /claims 1152921504606846976 values/],
      [tensor('t', [2n ** 31n, 2n ** 31n], 0, 0), /too large/],
      [tensor('t', [4], 0, 0), /reaches past the end/, 15],
      [tensor('t', [4], 0, two60), /as the offset of a tensor/, 16],
      [tensor('t', [4], 0, 4), /not aligned/, 32],
      [tensor('t', [4], 16, 0), /ggml type 16 is not one cria reads/, 16],
      [tensor('t', [31], 8, 0), /do not fill Q8_0 blocks/, 64],
      [[header(2, 0), entry('a', [16], 0, 0), entry('a', [16], 0, 64)], /"a" is there twice/, 128],
      [[header(2, 0), entry('a', [16], 0, 0), entry('b', [16], 0, 32)], /"b" overlaps/, 128],
    ];
    for (const [parts, message, dataBytes] of cases) {
      const path = await craft(parts, dataBytes);
      await assert.rejects(openGguf(path), { code: 'E_FORMAT', message });
      await assert.rejects(openGguf(path), (error: Error) => error.message.startsWith(path));
    }
    const good = await readFile(`${FIXTURES}/toy.gguf`);
    const path = join(folder, 'cut.gguf');
    for (const length of [0, 5, 24, 100, 2000, 5000, good.length - 40]) {
      await writeFile(path, good.subarray(0, length));
      await assert.rejects(openGguf(path), { code: 'E_FORMAT' }, String(length));
    }
  });
});

describe('openGgufCheckpoint', () => {
  it("reads configuration, token ids and weights under Meta's names", async () => {
    const checkpoint = await openGgufCheckpoint(`${FIXTURES}/toy.gguf`);
    assert.deepEqual(checkpoint.config, TOY_CONFIG);
    assert.deepEqual(checkpoint.tokenIds, { bosId: 1, eosIds: [2], padId: null });
    assert.equal(checkpoint.metadata['tokenizer.chat_template'], '{{ messages }}');
    const toy = await openToyWeights();
    for (const [name, { dtype }] of checkpoint.weights.tensors) {
      const expected = await readTensorF32(toy, name);
      const actual = await readTensorF32(checkpoint.weights, name);
      const step = dtype === 'F32' ? 0 : expected.reduce((a, b) => Math.max(a, Math.abs(b)), 0) / 127;
      assert.ok(
        actual.every((value, i) => Math.abs(value - expected[i]!) <= step * 0.51),
        name,
      );
    }
    await Promise.all([checkpoint.close(), toy.close()]);
  });

  it('refuses other architectures and names missing tensors', async () => {
    const named = await craft([header(0, 1), text('general.architecture'), u32(8), text('qwen2')]);
    await assert.rejects(openGgufCheckpoint(named), { code: 'E_FORMAT', message: /holds no model/ });
    const good = await readFile(`${FIXTURES}/toy.gguf`);
    const path = join(folder, 'renamed.gguf');
    const at = good.indexOf('blk.1.ffn_down.weight');
    good.write('blk.1.ffn_dawn.weight', at);
    await writeFile(path, good);
    await assert.rejects(
      openGgufCheckpoint(path),
      /missing tensors \(1\): "blk\.1\.ffn_down\.weight".*unknown tensors \(1\)/,
    );
  });
});

describe('llamaConfigFromGguf', () => {
  const facts = { vocabSize: 48, isTied: false, ropeFactors: null };

  it('takes back what ggufConfigMetadata gives, for any rope scaling', () => {
    const scalings: (RopeScaling | null)[] = [
      null,
      { factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPosition: 8192 },
      { factor: 32, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPosition: 8192 },
      { factor: 5.5, lowFreqFactor: 2, highFreqFactor: 3, originalMaxPosition: 1000 },
    ];
    for (const ropeScaling of scalings) {
      const config = { ...TOY_CONFIG, dim: 512, headDim: 64, ropeScaling };
      const factors = ropeScaling === null ? null : ropeFactors(ropeScaling, config.ropeTheta, config.headDim);
      const metadata = ggufConfigMetadata(config);
      assert.deepEqual(llamaConfigFromGguf(metadata, { ...facts, ropeFactors: factors }, 'x'), config);
    }
  });

  it('finds the scaling from the frequency factors alone, as other programs leave them', () => {
    for (const ropeScaling of [
      { factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPosition: 8192 },
      { factor: 32, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPosition: 8192 },
      { factor: 7, lowFreqFactor: 1, highFreqFactor: 6, originalMaxPosition: 4096 },
    ]) {
      const config = { ...TOY_CONFIG, dim: 1024, headDim: 128, ropeScaling };
      const factors = ropeFactors(ropeScaling, config.ropeTheta, config.headDim);
      const found = llamaConfigFromGguf(withoutOurs(config), { ...facts, ropeFactors: factors }, 'x');
      assert.deepEqual(found.ropeScaling, ropeScaling);
    }
    const odd = Float32Array.from({ length: 2 }, (_, i) => 3 - i);
    assert.throws(
      () => llamaConfigFromGguf(withoutOurs(TOY_CONFIG), { ...facts, ropeFactors: odd }, 'x'),
      /no llama3 rope scaling/,
    );
  });

  it('refuses what this project would compute wrongly', () => {
    const cases: [string, GgufValue | null, RegExp][] = [
      ['general.architecture', { type: 'string', value: 'phi3' }, /"phi3"/],
      ['general.architecture', null, /none/],
      ['llama.block_count', null, /llama\.block_count is missing/],
      ['llama.block_count', { type: 'string', value: '2' }, /must be one number/],
      ['llama.attention.head_count_kv', { type: 'array', elementType: 'uint32', value: [4, 2] }, /same for all layers/],
      ['llama.expert_count', { type: 'uint32', value: 8 }, /mixture-of-experts/],
      ['llama.rope.scaling.factor', { type: 'float32', value: 4 }, /rope scaling/],
      ['llama.rope.dimension_count', { type: 'uint32', value: 2 }, /rotated/],
      ['llama.embedding_length', { type: 'uint32', value: 0 }, /dim must be/],
    ];
    for (const [key, value, message] of cases) {
      const metadata = ggufConfigMetadata(TOY_CONFIG);
      if (value === null) metadata.delete(key);
      else metadata.set(key, value);
      assert.throws(() => llamaConfigFromGguf(metadata, facts, 'x.gguf'), message);
    }
  });
});
