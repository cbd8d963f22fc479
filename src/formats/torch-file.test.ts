import { strict as assert } from 'node:assert';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { crc32, deflateRawSync } from 'node:zlib';
import { readTensorPickle } from './tensor-pickle.ts';
import { readTensorBytes, readTensorF32 } from './tensor-source.ts';
import { openTorchFile } from './torch-file.ts';
import { FIXTURES } from './toy-test-support.ts';

let folder = '';
before(async () => (folder = await mkdtemp(join(tmpdir(), 'cria-torch-'))));
after(() => rm(folder, { recursive: true }));

const PROTO = '\x80\x02';
const TENSOR = 'ctorch._utils\n_rebuild_tensor_v2\n';
const ORDERED = 'ccollections\nOrderedDict\n)R';

function text(value: string): string {
  return `X${String.fromCharCode(value.length, 0, 0, 0)}${value}`;
}

function tuple(values: readonly number[]): string {
  return `(${values.map((v) => `K${String.fromCharCode(v)}`).join('')}t`;
}

/** Pickle of a tensor over storage '0' of `elements` floats. */
function tensor(elements: number, offset: number, shape: readonly number[], strides: readonly number[]): string {
  const storage = `(${text('storage')}ctorch\nFloatStorage\n${text('0')}${text('cpu')}K${String.fromCharCode(elements)}tQ`;
  return `${TENSOR}(${storage}K${String.fromCharCode(offset)}${tuple(shape)}${tuple(strides)}\x89${ORDERED}tR`;
}

function dictionary(entries: Readonly<Record<string, string>>): string {
  return `${PROTO}}(${Object.entries(entries).map(([name, value]) => text(name) + value).join('')}u.`; // prettier-ignore
}

interface Member {
  readonly name: string;
  readonly data: Uint8Array;
  readonly isDeflated?: boolean;
  readonly claimedBytes?: number;
}

/** A zip archive by hand, so that it can lie. */
async function craft(members: readonly Member[]): Promise<string> {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const { name, data, isDeflated = false, claimedBytes = data.length } of members) {
    const body = isDeflated ? deflateRawSync(data) : data;
    const header = Buffer.alloc(30);
    header.writeUInt32LE(0x04034b50, 0);
    const common = Buffer.alloc(26); // shared by the local header and the directory
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(isDeflated ? 8 : 0, 4);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(body.length, 14);
    common.writeUInt32LE(claimedBytes, 18);
    common.writeUInt16LE(name.length, 22);
    common.copy(header, 4);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    common.copy(entry, 6);
    entry.writeUInt32LE(offset, 42);
    parts.push(header, Buffer.from(name), body);
    directory.push(entry, Buffer.from(name));
    offset += 30 + name.length + body.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(Buffer.concat(directory).length, 12);
  end.writeUInt32LE(offset, 16);
  const path = join(folder, 'crafted.pth');
  await writeFile(path, Buffer.concat([...parts, ...directory, end]));
  return path;
}

const pickled = (pickle: string): Member => ({ name: 'a/data.pkl', data: Buffer.from(pickle, 'latin1') });
const floats = (...values: number[]): Member => ({
  name: 'a/data/0',
  data: Buffer.from(Float32Array.from(values).buffer),
});

function deflated(member: Member, claimedBytes: number): Member {
  return { ...member, isDeflated: true, claimedBytes };
}

describe('openTorchFile', () => {
  it('reads tensors that share, cut or skip parts of one storage', async () => {
    const path = await craft([
      pickled(
        dictionary({
          all: tensor(6, 0, [2, 3], [3, 1]),
          columns: tensor(6, 1, [2, 2], [3, 1]), // w[:, 1:]
          row: tensor(6, 3, [3], [1]),
          scalar: tensor(6, 5, [], []),
          one: tensor(6, 2, [1, 1], [9, 9]),
          none: tensor(6, 0, [0, 3], [3, 1]),
          count: 'K\x07',
        }),
      ),
      floats(0, 1, 2, 3, 4, 5),
    ]);
    const file = await openTorchFile(path);
    assert.deepEqual([...file.tensors.keys()], ['all', 'columns', 'row', 'scalar', 'one', 'none']);
    assert.deepEqual([...(await readTensorF32(file, 'all'))], [0, 1, 2, 3, 4, 5]);
    assert.deepEqual([...(await readTensorF32(file, 'columns'))], [1, 2, 4, 5]);
    assert.deepEqual([...(await readTensorF32(file, 'row'))], [3, 4, 5]);
    assert.deepEqual([...(await readTensorF32(file, 'scalar'))], [5]);
    assert.deepEqual([...(await readTensorF32(file, 'one'))], [2]);
    assert.deepEqual([...(await readTensorF32(file, 'none'))], []);
    assert.equal(file.tensors.get('columns')?.location, null);
    assert.equal(typeof file.tensors.get('row')?.location?.byteOffset, 'number');
    await file.close();
  });

  it('reads compressed members', async () => {
    const path = await craft([
      { ...pickled(dictionary({ w: tensor(3, 1, [2], [1]) })), isDeflated: true },
      { ...floats(7, 8, 9), isDeflated: true },
    ]);
    const file = await openTorchFile(path);
    assert.deepEqual([...(await readTensorF32(file, 'w'))], [8, 9]);
    assert.equal(file.tensors.get('w')?.location, null);
    await file.close();
  });

  it('refuses pickles that call functions, by name, without running anything', async () => {
    const calls: [string, RegExp][] = [
      [`${PROTO}cos\nsystem\n${text('id')}\x85R.`, /wants to use "os\.system"; only tensors are read/],
      [`\x80\x04\x8c\x05posix\x8c\x06system\x93${text('id')}\x85R.`, /"posix\.system"/],
      [`${PROTO}cbuiltins\neval\n${text('1')}\x85R.`, /"builtins\.eval"/],
      [`${PROTO}ctorch.hub\nload\n.`, /"torch\.hub\.load"/],
      [`(i__main__\nX\n.`, /opcode 0x69/], // INST
      [`${PROTO}ccollections\nOrderedDict\n${text('x')}\x85R.`, /calls collections\.OrderedDict/],
      [`${PROTO}ctorch\nFloatStorage\nK\x05\x85R.`, /calls torch\.FloatStorage/],
      [`${PROTO}K\x01K\x02\x85R.`, /cannot be called/],
      [`${PROTO}\x82\x01.`, /opcode 0x82/], // EXT1
    ];
    for (const [pickle, message] of calls) {
      await assert.rejects(openTorchFile(await craft([pickled(pickle)])), { code: 'E_FORMAT', message });
    }
    const withAttributes = Buffer.from(`${PROTO}${ORDERED}K\x01b.`, 'latin1'); // as module.state_dict() pickles
    assert.equal(readTensorPickle(withAttributes, 'x').size, 0);
  });

  it('refuses damaged pickles', () => {
    const cases: [string, RegExp][] = [
      ['', /ends in the middle/],
      [`${PROTO}}`, /ends in the middle/],
      ['\x80\x09.', /unknown protocol/],
      [`${PROTO}.`, /empty stack/],
      [`${PROTO}K\x01.`, /no dictionary/],
      [`${PROTO}t.`, /never opened/],
      [`${PROTO}h\x05.`, /does not exist/],
      [`${PROTO}(\x86.`, /empty stack/],
      [`${PROTO}X\xff\xff\xff\xff`, /ends in the middle/],
      [`${PROTO}c${'a'.repeat(1000)}\nb\n.`, /without end/],
      [`${PROTO}\x8a\xff.`, /integer of 255 bytes/],
      [`${PROTO}\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f.`, /too large/],
      [`${PROTO}K\x01K\x02a.`, /no list/],
      [`${PROTO}}}K\x01s.`, /key that is no text/],
      [`${PROTO}K\x01K\x02K\x03s.`, /no dictionary/],
      [`${PROTO}K\x01Q.`, /storage reference/],
      [`${PROTO}${'\x88'.repeat(4_000_010)}.`, /more than 4000000 steps/],
      [dictionary({ w: `${TENSOR}K\x01\x85R` }), /not understood/],
      [dictionary({ w: tensor(4, 0, [2, 2], [1]) }), /unequal shape and strides/],
    ];
    for (const [pickle, message] of cases) {
      const bytes = Buffer.from(pickle, 'latin1');
      assert.throws(() => readTensorPickle(bytes, 'x.pth'), { code: 'E_FORMAT', message });
      assert.throws(() => readTensorPickle(bytes, 'x.pth'), /^FormatError: x\.pth: pickle at byte/);
    }
  });

  it('refuses tensors that do not lie in their data', async () => {
    const cases: [string, RegExp][] = [
      [tensor(5, 0, [5], [1]), /has 16 bytes, 5 F32 are claimed/],
      [tensor(4, 1, [2, 2], [2, 1]), /reaches past the end/],
      [tensor(4, 0, [2, 2], [3, 1]), /reaches past the end/],
      [tensor(4, 0, [2, 2], [1, 2]), /not stored row by row/],
      [tensor(4, 0, [2, 2], [1, 1]), /not stored row by row/],
      [tensor(4, 0, [2, 1, 2], [3, 2, 1]), /not stored row by row/],
      [tensor(4, 9, [1], [1]), /reaches past the end/],
    ];
    for (const [described, message] of cases) {
      const path = await craft([pickled(dictionary({ w: described })), floats(1, 2, 3, 4)]);
      await assert.rejects(openTorchFile(path), { code: 'E_FORMAT', message });
    }
    const missing = await craft([pickled(dictionary({ w: tensor(1, 0, [1], [1]) }))]);
    await assert.rejects(openTorchFile(missing), /data member "0" is missing/);
  });

  it('bounds what compressed members unfold to', async () => {
    const pickle = dictionary({ w: tensor(4, 0, [4], [1]) });
    const bomb = await craft([deflated(pickled(pickle), 2 ** 31)]);
    await assert.rejects(openTorchFile(bomb), { code: 'E_FORMAT', message: /more than the \d+ that are read/ });
    const short = await craft([deflated(pickled(pickle), pickle.length + 1)]);
    await assert.rejects(openTorchFile(short), { code: 'E_FORMAT', message: /data\.pkl/ });
    const long = await craft([deflated(pickled(pickle), 10)]);
    await assert.rejects(openTorchFile(long), { code: 'E_FORMAT', message: /data\.pkl/ });
    const data = await craft([pickled(pickle), deflated({ name: 'a/data/0', data: new Uint8Array(1000) }, 16)]);
    const file = await openTorchFile(data);
    await assert.rejects(readTensorBytes(file, 'w'), { code: 'E_FORMAT' });
    await file.close();
  });

  it('refuses archives that are damaged, odd or no archives', async () => {
    const pickle = pickled(dictionary({}));
    const cases: [Member[], RegExp][] = [
      [[{ ...pickle, name: 'data.pkl' }], /holds 0 data\.pkl/],
      [[pickle, { ...pickle, name: 'b/data.pkl' }], /holds 2 data\.pkl/],
      [[pickle, pickle], /twice/],
      [[{ ...pickle, name: '../data.pkl' }], /intact zip/],
      [[pickle, { name: 'a/byteorder', data: Buffer.from('big') }], /"big"-endian/],
    ];
    for (const [members, message] of cases) {
      await assert.rejects(openTorchFile(await craft(members)), { code: 'E_FORMAT', message });
    }
    const good = await readFile(`${FIXTURES}/toy-meta/consolidated.00.pth`);
    const path = join(folder, 'cut.pth');
    for (const length of [0, 3, 4, 100, 30_000, good.length - 30, good.length - 1]) {
      await writeFile(path, good.subarray(0, length));
      await assert.rejects(openTorchFile(path), (error: Error & { code: string }) => {
        assert.equal(error.code, 'E_FORMAT', String(length));
        return error.message.startsWith(path);
      });
    }
  });
});
