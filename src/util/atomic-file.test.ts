import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { writeFileAtomic } from './atomic-file.ts';

let folder = '';
before(async () => (folder = await mkdtemp(join(tmpdir(), 'cria-atomic-'))));
after(() => rm(folder, { recursive: true }));

describe('writeFileAtomic', () => {
  it('writes in order, patches earlier bytes, and replaces the old file', async () => {
    const path = join(folder, 'a.bin');
    await writeFile(path, 'old and longer than the new one');
    await writeFileAtomic(path, async (sink) => {
      await sink.write(Buffer.from('????'));
      await sink.write(Buffer.from('tail'));
      assert.equal(sink.position, 8);
      await sink.writeAt(0, Buffer.from('head'));
      assert.equal(sink.position, 8);
    });
    assert.equal(await readFile(path, 'utf8'), 'headtail');
    assert.deepEqual(await readdir(folder), ['a.bin']);
  });

  it('leaves the old file and no temporary when the callback fails', async () => {
    const path = join(folder, 'a.bin');
    await writeFile(path, 'old');
    const failure = new Error('no');
    await assert.rejects(
      writeFileAtomic(path, async (sink) => {
        await sink.write(Buffer.from('new'));
        throw failure;
      }),
      failure,
    );
    assert.equal(await readFile(path, 'utf8'), 'old');
    assert.deepEqual(await readdir(folder), ['a.bin']);
  });

  it(
    'says so when the system refuses more bytes, and keeps the old file',
    { skip: process.platform === 'win32' },
    async () => {
      const path = join(folder, 'a.bin');
      await writeFile(path, 'old');
      const module = fileURLToPath(new URL('./atomic-file.ts', import.meta.url));
      const program = `import(${JSON.stringify(module)}).then((m) =>
      m.writeFileAtomic(${JSON.stringify(path)}, (sink) => sink.write(new Uint8Array(1 << 20)))
    ).catch((error) => console.log(error.code, error.message))`;
      // A file size limit with the signal ignored makes write fail half way, as a full disk does.
      const shell = `trap '' XFSZ; ulimit -f 64; exec "$0" --import tsx -e "$1"`;
      const { stdout } = spawnSync('sh', ['-c', shell, process.execPath, program], { encoding: 'utf8' });
      assert.match(stdout, /^E_CAPACITY .*a\.bin: the disk is full/);
      assert.equal(await readFile(path, 'utf8'), 'old');
      assert.deepEqual(await readdir(folder), ['a.bin']);
    },
  );
});
