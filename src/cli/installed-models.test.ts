/** What a server may answer with, and what a request may delete. */
import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { captureIo } from '../../test/run-command.ts';
import { FIXTURES } from '../formats/toy-test-support.ts';
import type { ModelCatalog } from '../server/served-model.ts';
import { installedModels, type LoadOptions } from './installed-models.ts';

const OPTIONS: LoadOptions = { flags: { precision: 'auto' }, parallel: 1, engine: { maxNumSequences: 1 } };
const COMMIT = 'c'.repeat(40);

let folder = '';
let cached = '';
let env: Record<string, string> = {};

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cria-catalog-'));
  cached = join(folder, 'hub', 'models--org--toy');
  await mkdir(join(cached, 'refs'), { recursive: true });
  await writeFile(join(cached, 'refs', 'main'), COMMIT);
  await cp(`${FIXTURES}/toy-hf`, join(cached, 'snapshots', COMMIT), { recursive: true });
  await cp(`${FIXTURES}/toy.gguf`, join(folder, 'toy.gguf'));
  env = { HF_HUB_CACHE: join(folder, 'hub'), XDG_CACHE_HOME: join(folder, 'none') };
});
after(() => rm(folder, { recursive: true }));

async function catalog(...named: string[]): Promise<ModelCatalog> {
  return installedModels(named, OPTIONS, { ...captureIo().io, env });
}

describe('installed models', () => {
  it('are those of the command line, by their last part without ending, and nothing else that lies on the disk', async () => {
    const models = await catalog(join(folder, 'toy.gguf'));
    assert.equal((await models.list())[0]!.id, 'toy');
    assert.equal((await models.find('toy'))!.path, join(folder, 'toy.gguf'));
    assert.equal(await models.find(join(folder, 'toy.gguf')), null);
  });

  it('are described once for each version, and again after a failure', async () => {
    const models = await catalog(join(folder, 'toy.gguf'));
    const entry = (await models.find('toy'))!;
    assert.equal(models.details(entry), models.details(entry));
    assert.deepEqual([(await models.details(entry)).format, (await models.details(entry)).family], ['gguf', 'llama']);
    const broken = { ...entry, path: join(folder, 'absent.gguf'), digest: 'x' };
    await assert.rejects(models.details(broken), { code: 'E_FORMAT' });
    assert.equal((await models.details({ ...broken, path: entry.path })).format, 'gguf');
  });

  it('with equal names, or that are not there, are refused when the server starts', async () => {
    await mkdir(join(folder, 'other'));
    await cp(`${FIXTURES}/toy.gguf`, join(folder, 'other', 'toy.gguf'));
    const same = catalog(join(folder, 'toy.gguf'), join(folder, 'other', 'toy.gguf'));
    await assert.rejects(same, { code: 'E_FORMAT', message: /two models are both called "toy"/ });
    await assert.rejects(catalog(join(folder, 'none.gguf')), { code: 'E_FORMAT', message: /none\.gguf/ });
  });

  it('are not found any more once their files are gone, even if the server was started with them', async () => {
    const path = join(folder, 'leaving.gguf');
    await cp(`${FIXTURES}/toy.gguf`, path);
    const models = await catalog(path);
    assert.equal((await models.find('leaving'))!.path, path);
    await rm(path);
    assert.equal(await models.find('leaving'), null);
  });

  it('are deleted only if they were downloaded', async () => {
    const models = await catalog(join(folder, 'toy.gguf'));
    const downloaded = (await models.find('org/toy'))!;
    assert.equal(downloaded.path, join(cached, 'snapshots', COMMIT));
    assert.equal(models.isRemovable((await models.find('toy'))!), false);
    assert.equal(models.isRemovable({ ...downloaded, id: 'nano' }), false);
    assert.equal(models.isRemovable(downloaded), true);
    await models.remove(downloaded);
    await assert.rejects(models.remove(downloaded), { code: 'E_REQUEST', status: 404 });
    assert.deepEqual(await readdir(join(folder, 'hub')), []);
    assert.ok((await readdir(folder)).includes('toy.gguf'));
  });
});
