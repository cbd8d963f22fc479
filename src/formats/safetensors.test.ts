import { strict as assert } from 'node:assert';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openSafetensors } from './safetensors.ts';
import { tensorInMemory, writeSafetensors, type TensorToWrite } from './safetensors-write.ts';
import { readTensorF32 } from './tensor-source.ts';

const FIXTURE = 'test/fixtures/formats/dtypes.safetensors';
let folder = '';
before(async () => (folder = await mkdtemp(join(tmpdir(), 'cria-safetensors-'))));
after(() => rm(folder, { recursive: true }));

/** A file with `header` (text or object) before `data`, whatever they claim. */
async function craft(header: unknown, data: Uint8Array, headerLength?: bigint): Promise<string> {
  const text = typeof header === 'string' ? header : JSON.stringify(header);
  const json = new TextEncoder().encode(text);
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setBigUint64(0, headerLength ?? BigInt(json.length), true);
  const path = join(folder, 'crafted.safetensors');
  await writeFile(path, Buffer.concat([prefix, json, data]));
  return path;
}

function tensorOf(chunks: () => Iterable<Uint8Array>): TensorToWrite {
  return { name: 'a', dtype: 'U8', shape: [3], chunks };
}

describe('openSafetensors', () => {
  it('reads every dtype as the reference implementation wrote it', async () => {
    const file = await openSafetensors(FIXTURE);
    const values = [0, -1.5, 3.140625, 65504, 2 ** -24, -0];
    const ints = [0, 1, -2, 100, -128, 127];
    const abs = ints.map(Math.abs);
    assert.deepEqual({ ...file.metadata }, { format: 'pt', note: 'fixture' });
    assert.deepEqual(
      [...(await file.read('f64', 'F64'))],
      values.map((v) => v / 3),
    );
    assert.deepEqual(
      [...(await file.read('f32', 'F32'))],
      values.map((v) => Math.fround(v / 3)),
    );
    assert.deepEqual([...(await readTensorF32(file, 'f16'))], values);
    assert.deepEqual([...(await file.read('bf16'))], [0, 0xbfc0, 0x4049, 0x4780, 0x3380, 0x8000]);
    assert.deepEqual(
      [...(await file.read('i64', 'I64'))],
      ints.map((v) => BigInt(v) << 40n),
    );
    assert.deepEqual(
      [...(await file.read('i32'))],
      ints.map((v) => v * 2 ** 20),
    );
    assert.deepEqual(
      [...(await file.read('i16'))],
      ints.map((v) => v * 2 ** 8),
    );
    assert.deepEqual([...(await file.read('i8'))], ints);
    assert.deepEqual(
      [...(await file.read('u8'))],
      ints.map((v) => v & 255),
    );
    assert.deepEqual([...(await file.read('u16'))], abs);
    assert.deepEqual([...(await file.read('u32'))], abs);
    assert.deepEqual([...(await file.read('bool'))], [0, 1, 0, 1, 0, 1]);
    assert.deepEqual([...(await file.read('scalar'))], [2.5]);
    assert.deepEqual(file.tensors.get('scalar')?.shape, []);
    assert.deepEqual([...(await file.read('empty'))], []);
    await assert.rejects(file.read('nope'), { code: 'E_FORMAT', message: /has no tensor "nope"/ });
    await assert.rejects(file.read('f32', 'BF16'), /"f32" is F32, expected BF16/);
    await file.close();
  });

  it('reads single rows without the rest', async () => {
    const file = await openSafetensors(FIXTURE);
    const row = new Float32Array(3);
    await file.readRows('f32', 1, new Uint8Array(row.buffer));
    assert.deepEqual(
      [...row],
      [65504, 2 ** -24, -0].map((v) => Math.fround(v / 3)),
    );
    await assert.rejects(file.readRows('f32', 2, new Uint8Array(12)), { code: 'E_INTERNAL' });
    await file.close();
  });

  it('refuses every kind of damaged header with a FormatError that names the file and the fault', async () => {
    const four = new Uint8Array(4);
    const one = { dtype: 'F32', shape: [1], data_offsets: [0, 4] };
    const cases: [unknown, Uint8Array, RegExp, bigint?][] = [
      [{ a: one }, four, /claims a header of/, 2n ** 63n],
      [{ a: one }, four, /claims a header of/, 500n],
      [{ a: one }, four.subarray(1), /cut off or damaged/],
      [{ a: one }, new Uint8Array(5), /tensors end at byte/],
      ['[]', four, /does not start with/],
      ['', four, /does not start with/],
      ['{"a": ', four, /not valid JSON/],
      [`{"a":${'['.repeat(1_000_000)}`, four, /nested deeper than 3/],
      [`{"a":[${'0,'.repeat(4_000_001)}0]}`, four, /more than 4000000 values/],
      [{ a: { ...one, dtype: 'F8_E4M3' } }, four, /"F8_E4M3" is not one cria reads/],
      [{ a: { ...one, dtype: 'Q4_0' } }, four, /"Q4_0" is not one cria reads/],
      [{ a: { ...one, dtype: '__proto__' } }, four, /not one cria reads/],
      [{ a: { ...one, dtype: 7 } }, four, /dtype/],
      [{ a: { ...one, extra: 1 } }, four, /extra/],
      [{ a: { ...one, shape: [-1] } }, four, /shape/],
      [{ a: { ...one, shape: [1.5] } }, four, /shape/],
      [{ a: { ...one, shape: [2] } }, four, /takes 8 bytes, its offsets span 4/],
      [{ a: { ...one, shape: [2 ** 40, 2 ** 40] } }, four, /too large/],
      [{ a: { ...one, shape: [2 ** 40, 2 ** 40, 0], data_offsets: [0, 0] } }, four, /too large/],
      [{ a: { ...one, shape: [2 ** 51] } }, four, /too large/],
      [{ a: { ...one, data_offsets: [4, 0] } }, four, /offsets span -4/],
      [{ a: one, b: one }, four, /"b" at byte \d+ overlaps/],
      [{ a: { ...one, data_offsets: [4, 8] } }, new Uint8Array(8), /leaves a hole/],
      [{ a: one, __metadata__: { x: 1 } }, four, /__metadata__: x/],
      [{ ['x'.repeat(1000)]: { ...one, dtype: 'Z' } }, four, /tensor "x{100}\.\.\."/],
    ];
    for (const [header, data, message, length] of cases) {
      const path = await craft(header, data, length);
      const expected = { code: 'E_FORMAT', message };
      await assert.rejects(openSafetensors(path), expected, `${JSON.stringify(header).slice(0, 80)}`);
      await assert.rejects(openSafetensors(path), (error: Error) => error.message.startsWith(path));
    }
  });

  it('refuses what is no file at all', async () => {
    await assert.rejects(openSafetensors(join(folder, 'absent')), { code: 'E_FORMAT', message: /ENOENT/ });
    await assert.rejects(openSafetensors(folder), { code: 'E_FORMAT', message: /not a regular file/ });
  });
});

describe('writeSafetensors', () => {
  it('writes what it reads: all tensors and metadata of the reference file', async () => {
    const source = await openSafetensors(FIXTURE);
    const tensors: TensorToWrite[] = [];
    for (const [name, { dtype, shape }] of source.tensors) {
      tensors.push(tensorInMemory(name, dtype, shape, await source.read(name)));
    }
    const path = join(folder, 'copy.safetensors');
    await writeSafetensors(path, tensors, source.metadata);
    const copy = await openSafetensors(path);
    assert.deepEqual(copy.metadata, source.metadata);
    assert.equal(copy.tensors.size, source.tensors.size);
    for (const [name, info] of source.tensors) {
      assert.deepEqual(copy.tensors.get(name)?.shape, info.shape);
      assert.deepEqual(await copy.read(name), await source.read(name));
      const bytesEach =
        info.byteLength /
        Math.max(
          1,
          info.shape.reduce((a, b) => a * b, 1),
        );
      if (bytesEach > 0) assert.equal(copy.tensors.get(name)!.byteOffset % bytesEach, 0, `${name} is aligned`);
    }
    await Promise.all([source.close(), copy.close()]);
  });

  it('pulls tensors one after the other, in the given order', async () => {
    const events: string[] = [];
    const tensors = ['b', 'a', 'c'].map((name): TensorToWrite => {
      return {
        name,
        dtype: 'U8',
        shape: [2],
        chunks: async function* () {
          events.push(name);
          yield new Uint8Array([1]);
          yield new Uint8Array([2]);
        },
      };
    });
    const path = join(folder, 'ordered.safetensors');
    await writeSafetensors(path, tensors);
    assert.deepEqual(events, ['b', 'a', 'c']);
    const file = await openSafetensors(path);
    assert.deepEqual([...(await file.read('c'))], [1, 2]);
    await file.close();
  });

  it('keeps the previous file and leaves no temporary when a tensor fails, is short, or the disk is full', async () => {
    const work = await mkdtemp(join(folder, 'atomic-'));
    const path = join(work, 'model.safetensors');
    await writeFile(path, 'previous');
    const diskFull = Object.assign(new Error('write'), { code: 'ENOSPC' });
    function* fails(): Generator<Uint8Array> {
      yield new Uint8Array(1);
      throw diskFull;
    }
    await assert.rejects(writeSafetensors(path, [tensorOf(fails)]), { code: 'E_CAPACITY', message: /disk is full/ });
    await assert.rejects(writeSafetensors(path, [tensorOf(() => [new Uint8Array(2)])]), { code: 'E_INTERNAL' });
    assert.equal(await readFile(path, 'utf8'), 'previous');
    assert.deepEqual(await readdir(work), ['model.safetensors']);
  });
});
