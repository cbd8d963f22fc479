import { strict as assert } from 'node:assert';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { writeFileAtomic } from './atomic-file.ts';

const POSIX = { skip: process.platform === 'win32' };
const MODULES = ['./atomic-file.ts', './atomic-folder.ts'].map((name) => new URL(name, import.meta.url).href);

/** How a program ends that is sent a signal once it has said "begun" twice. */
async function signalled(program: string, signal: NodeJS.Signals): Promise<string | number | null> {
  const child = spawn(process.execPath, ['--import', 'tsx', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (text) => {
    said += String(text);
    if (said.split('begun').length === 3) child.kill(signal);
  });
  return new Promise((resolve) => child.on('exit', (status, endedBy) => resolve(endedBy ?? status)));
}

function writeX(path: string): Promise<void> {
  return writeFileAtomic(path, (sink) => sink.write(Buffer.from('x')));
}

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

  it('names the file that was asked for if it cannot be opened', async () => {
    await assert.rejects(writeX(folder), {
      code: 'E_USAGE',
      message: `${folder}: is a folder; give the name of a file`,
    });
    const lost = join(folder, 'no', 'a.bin');
    await assert.rejects(writeX(lost), { code: 'E_USAGE', message: /^[^.]*a\.bin: .*folder does not exist/ });
    await assert.rejects(writeX(join(folder, 'a.bin', 'b')), { code: 'ENOTDIR', path: join(folder, 'a.bin', 'b') });
  });

  it('leaves nothing behind when a signal ends the process, unless somebody else listens', POSIX, async () => {
    const [file, unfinishedFolder] = [join(folder, 's.bin'), join(folder, 's')];
    const program = (listener: string): string => `
      ${listener}
      setTimeout(() => {}, 60000);
      const never = () => { console.log('begun'); return new Promise(() => {}); };
      Promise.all(${JSON.stringify(MODULES)}.map((name) => import(name))).then(([a, b]) => {
        a.writeFileAtomic(${JSON.stringify(file)}, never);
        b.writeFolderAtomic(${JSON.stringify(unfinishedFolder)}, never);
      });`;
    const names = await readdir(folder);
    assert.equal(await signalled(program(''), 'SIGINT'), 'SIGINT');
    assert.deepEqual(await readdir(folder), names);
    const polite = `process.once('SIGTERM', () => setImmediate(() => process.exit(7)));`;
    assert.equal(await signalled(program(polite), 'SIGTERM'), 7);
    const left = (await readdir(folder)).filter((name) => name.endsWith('.partial'));
    assert.equal(left.length, 2, 'the listener decides what happens');
    await Promise.all(left.map((name) => rm(join(folder, name), { recursive: true })));
  });

  it('says so when the system refuses more bytes, and keeps the old file', POSIX, async () => {
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
  });
});
