import { strict as assert } from 'node:assert';
import {
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { listCachedModels, removeCachedModel } from './hub-cache.ts';
import { filesOfModel, type HubFile } from './hub-files.ts';
import { parseModelId, requireModelId, type HubModelId } from './hub-id.ts';
import { hubSettings, type HubSettings } from './hub-settings.ts';
import { FAKE_COMMIT, FAKE_REPO, FAKE_TOKEN, gitHash, sha256, startFakeHub, type FakeHub } from './hub-test-server.ts';
import { cachedModel, pullModel, type PullProgress } from './hub.ts';
import { openCheckpoint } from './open-checkpoint.ts';
import { FIXTURES, TOY_CONFIG } from './toy-test-support.ts';

let folder = '';
let hub: FakeHub;
let settings: HubSettings;
const ID: HubModelId = { repo: FAKE_REPO, revision: 'main', file: null };

before(async () => (folder = await mkdtemp(join(tmpdir(), 'cria-hub-'))));
after(() => rm(folder, { recursive: true }));
beforeEach(async () => {
  hub = await startFakeHub();
  for (const name of await readdir(`${FIXTURES}/toy-hf`)) {
    const content = await readFile(`${FIXTURES}/toy-hf/${name}`);
    hub.files.set(name, { content, isLarge: name.endsWith('.safetensors') });
  }
  hub.files.set('README.md', { content: Buffer.from('not needed'), isLarge: false });
  hub.files.set('original/consolidated.00.pth', { content: Buffer.from('not needed'), isLarge: true });
  const cacheFolder = await mkdtemp(join(folder, 'cache-'));
  settings = { endpoint: hub.endpoint, token: null, cacheFolder, isOffline: false };
});
afterEach(() => hub.close());

const pull = (id = ID, other: Partial<HubSettings> = {}) =>
  pullModel(id, { settings: { ...settings, ...other }, retryDelayMs: 0 });

const isComplete = async () => (await listCachedModels(settings.cacheFolder))[0]!.isComplete;

function listed(paths: readonly string[]): HubFile[] {
  return paths.map((path) => ({ path, sizeBytes: 1, hash: 'a'.repeat(40) }));
}

function chosen(id: HubModelId, ...paths: string[]): string[] {
  return filesOfModel(id, listed(paths)).map(({ path }) => path);
}

describe('pullModel', () => {
  it("downloads what a model needs into Hugging Face's cache layout, and it opens", async () => {
    const seen: PullProgress[] = [];
    const pulled = await pullModel(ID, { settings, onProgress: (progress) => void seen.push(progress) });
    const repo = join(settings.cacheFolder, 'models--org--model');
    assert.equal(pulled.path, join(repo, 'snapshots', FAKE_COMMIT));
    assert.equal(await readFile(join(repo, 'refs/main'), 'utf8'), FAKE_COMMIT);
    const shard = 'model-00001-of-00004.safetensors';
    const target = await readlink(join(pulled.path, shard));
    assert.equal(target, `../../blobs/${sha256(hub.files.get(shard)!.content)}`);
    assert.equal(
      await readlink(join(pulled.path, 'config.json')),
      `../../blobs/${gitHash(hub.files.get('config.json')!.content)}`,
    );
    assert.deepEqual((await readdir(pulled.path)).toSorted(), (await readdir(`${FIXTURES}/toy-hf`)).toSorted());
    assert.equal(seen.at(-1)!.doneBytes, seen.at(-1)!.totalBytes);
    const checkpoint = await openCheckpoint(pulled.path);
    assert.deepEqual(checkpoint.config, TOY_CONFIG);
    await checkpoint.close();
  });

  it('downloads nothing twice', async () => {
    await pull();
    const earlier = hub.requests.length;
    await pull();
    assert.ok(hub.requests.slice(earlier).every(({ url }) => url.startsWith('/api/')));
  });

  it('continues where cut connections stopped, asking only for what is missing', async () => {
    const content = Buffer.alloc(300_000, 'abcdefg');
    hub.files.set('model-00001-of-00004.safetensors', { content, isLarge: true });
    hub.cuts = { bytes: 50_000, times: 3 };
    const shard: HubModelId = { ...ID, file: 'model-00001-of-00004.safetensors' };
    const { path } = await pull(shard);
    assert.ok((await readFile(join(path, 'model-00001-of-00004.safetensors'))).equals(content));
    const starts = hub.requests
      .flatMap(({ range }) => (/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? []) as string)
      .map(Number);
    assert.ok(
      starts.some((start) => start >= 50_000),
      String(starts),
    );
  });

  it('continues what an earlier process left, and starts over if the server cannot', async () => {
    const name = 'model-00002-of-00004.safetensors';
    const content = hub.files.get(name)!.content;
    const blobs = join(settings.cacheFolder, 'models--org--model', 'blobs');
    for (const ignoresRanges of [false, true]) {
      hub.ignoresRanges = ignoresRanges;
      await rm(blobs, { recursive: true, force: true });
      await mkdir(blobs, { recursive: true });
      await writeFile(join(blobs, `${sha256(content)}.incomplete`), content.subarray(0, 1000));
      await pull({ ...ID, file: name });
      assert.ok((await readFile(join(blobs, sha256(content)))).equals(content));
      assert.deepEqual(await readdir(blobs), [sha256(content)]);
    }
  });

  it('gives up after fruitless tries and keeps the part for the next run', async () => {
    hub.cuts = { bytes: 0, times: 1000 };
    const name = 'model-00003-of-00004.safetensors';
    await assert.rejects(pull({ ...ID, file: name }), { code: 'E_REQUEST', message: /run it again, it will continue/ });
    hub.cuts.times = 0;
    await pull({ ...ID, file: name });
  });

  it('refuses content with a wrong checksum, large and small, and removes it', async () => {
    for (const [name, claimedHash] of [
      ['config.json', 'a'.repeat(40)],
      ['model-00001-of-00004.safetensors', 'b'.repeat(64)],
    ] as const) {
      const file = hub.files.get(name)!;
      hub.files.set(name, { ...file, claimedHash });
      await assert.rejects(pull({ ...ID, file: name }), {
        code: 'E_FORMAT',
        message: /checksum .* expected (a{40}|b{64})/,
      });
      hub.files.set(name, file);
    }
    const blobs = await readdir(join(settings.cacheFolder, 'models--org--model', 'blobs'));
    assert.deepEqual(blobs, []);
    assert.equal(await lstat(join(settings.cacheFolder, 'models--org--model/snapshots')).catch(() => null), null);
  });

  it('says what to do about gated models, unknown models, revisions and files', async () => {
    hub.gate = 'needs-token';
    await assert.rejects(pull(), { status: 401, message: /org\/model is gated: accept its licence at .*set HF_TOKEN/ });
    await assert.rejects(pull(ID, { token: 'wrong' }), { status: 403, message: /has no access yet/ });
    await pull(ID, { token: FAKE_TOKEN });
    await assert.rejects(pull({ ...ID, repo: 'org/none' }), { status: 404, message: /no such model at/ });
    await assert.rejects(pull({ ...ID, revision: 'dev' }), { status: 404, message: /no such revision/ });
    await assert.rejects(pull({ ...ID, file: 'x.gguf' }), {
      code: 'E_USAGE',
      message: /has no file x\.gguf; it has: /,
    });
  });

  it('sends the token to the hub and never to its storage, and waits out a server that is busy', async () => {
    await pull(ID, { token: FAKE_TOKEN });
    for (const { url, token } of hub.requests) {
      assert.equal(token, url.startsWith('/storage/') ? null : FAKE_TOKEN, url);
    }
    assert.ok(hub.requests.some(({ url }) => url.startsWith('/storage/')));
    for (const status of [503, 429]) {
      hub.failures = { status, times: 2 };
      await pull();
    }
    hub.failures = { status: 503, times: 1000 };
    await assert.rejects(pull(), { code: 'E_REQUEST', status: 503 });
  });

  it('works offline from the cache, and says so when it cannot', async () => {
    await assert.rejects(pull(ID, { isOffline: true }), { status: 503, message: /HF_HUB_OFFLINE/ });
    const { path } = await pull();
    const requests = hub.requests.length;
    assert.equal((await pull(ID, { isOffline: true })).path, path);
    assert.equal((await cachedModel({ ...ID, revision: FAKE_COMMIT }, settings))?.path, path);
    assert.equal(await cachedModel({ ...ID, file: 'absent.gguf' }, settings), null);
    assert.equal(await cachedModel({ ...ID, repo: 'org/none' }, settings), null);
    assert.equal(hub.requests.length, requests);
    await assert.rejects(pull(ID, { endpoint: 'http://127.0.0.1:9' }), { status: 503, message: /cannot be reached/ });
  });

  it('refuses lists that point out of the cache', async () => {
    for (const path of ['../x.safetensors', '/etc/x', 'a\\b', 'c:/x', 'a//b', '']) {
      hub.files.clear();
      hub.files.set(path, { content: Buffer.from('x'), isLarge: false });
      await assert.rejects(pull(), { code: 'E_FORMAT', message: /bad name/ });
    }
    hub.files.clear();
    hub.files.set('config.json', { content: Buffer.from('x'), isLarge: false, claimedHash: '../../x' });
    await assert.rejects(pull(), { code: 'E_FORMAT' });
  });

  it('pulls a GGUF file by name, opens it, lists it and removes it', async () => {
    hub.files.clear();
    hub.files.set('a/toy.gguf', { content: await readFile(`${FIXTURES}/toy.gguf`), isLarge: true });
    hub.files.set('empty.txt', { content: Buffer.alloc(0), isLarge: false });
    const { path } = await pull();
    const checkpoint = await openCheckpoint(path);
    assert.equal(checkpoint.format, 'gguf');
    await checkpoint.close();
    await pull({ ...ID, file: 'empty.txt' });
    const [model] = await listCachedModels(settings.cacheFolder);
    assert.deepEqual([model?.repo, model?.isComplete, model?.revisions], [FAKE_REPO, true, [FAKE_COMMIT]]);
    assert.ok(model!.sizeBytes > 40_000);
    assert.equal(await removeCachedModel(settings.cacheFolder, FAKE_REPO), true);
    assert.equal(await removeCachedModel(settings.cacheFolder, FAKE_REPO), false);
    assert.deepEqual(await listCachedModels(settings.cacheFolder), []);
  });

  it('reads a cache that another tool filled', async () => {
    const repo = join(settings.cacheFolder, 'models--org--model');
    await cp(`${FIXTURES}/toy-hf`, join(repo, 'snapshots', FAKE_COMMIT), { recursive: true });
    await mkdir(join(repo, 'refs'));
    await writeFile(join(repo, 'refs', 'main'), FAKE_COMMIT);
    const found = await cachedModel(ID, settings);
    const checkpoint = await openCheckpoint(found!.path);
    await checkpoint.close();
  });
});

describe('listCachedModels', () => {
  it('calls a model complete when all its weights are there, whatever broken downloads left', async () => {
    await pull({ ...ID, file: 'config.json' });
    assert.equal(await isComplete(), false, 'a configuration alone');
    await pull({ ...ID, file: 'model-00001-of-00004.safetensors' });
    assert.equal(await isComplete(), false, 'one shard of four');
    await pull();
    assert.equal(await isComplete(), true);
    const blobs = join(settings.cacheFolder, 'models--org--model/blobs');
    const hash = sha256(hub.files.get('model-00001-of-00004.safetensors')!.content);
    for (const end of ['incomplete', '1a2b3c4d.incomplete']) await writeFile(join(blobs, `${hash}.${end}`), 'part');
    assert.equal(await isComplete(), true, 'left by a download that another one overtook');
    await writeFile(join(blobs, `${'a'.repeat(64)}.1a2b3c4d.incomplete`), 'part');
    assert.equal(await isComplete(), false, 'a download under way');
  });

  it('counts blobs that are links to a store which repositories share', async () => {
    await pull();
    const [listedBefore] = await listCachedModels(settings.cacheFolder);
    const hash = sha256(hub.files.get('model-00001-of-00004.safetensors')!.content);
    const blob = join(settings.cacheFolder, 'models--org--model/blobs', hash);
    await rename(blob, join(settings.cacheFolder, 'shared'));
    await symlink(join(settings.cacheFolder, 'shared'), blob);
    assert.deepEqual(await listCachedModels(settings.cacheFolder), [listedBefore]);
    await rm(join(settings.cacheFolder, 'shared'));
    assert.equal(await isComplete(), false, 'a link to nothing');
  });
});

describe('filesOfModel', () => {
  it('takes one format of weights: safetensors, else Meta, else the only GGUF', () => {
    const llama = [
      'config.json',
      'model-00001-of-00002.safetensors',
      'model.safetensors.index.json',
      'consolidated.safetensors',
    ];
    assert.deepEqual(chosen(ID, ...llama, 'pytorch_model.bin', 'original/params.json', 'x.gguf', 'tokenizer.json'), [
      'config.json',
      'tokenizer.json',
      'model-00001-of-00002.safetensors',
      'model.safetensors.index.json',
    ]);
    const meta = ['params.json', 'consolidated.00.pth', 'consolidated.01.pth', 'tokenizer.model'];
    assert.deepEqual(chosen(ID, ...meta, 'checklist.chk').toSorted(), meta.toSorted());
    const parts = ['q/x-00001-of-00002.gguf', 'q/x-00002-of-00002.gguf'];
    assert.deepEqual(chosen(ID, ...parts, 'README.md'), parts);
    assert.deepEqual(chosen({ ...ID, file: parts[0]! }, ...parts), parts);
  });

  it('asks for a choice, or says that there is no model', () => {
    assert.throws(() => chosen(ID, 'a.gguf', 'b.gguf'), {
      code: 'E_USAGE',
      message: /pull one of: org\/model:a\.gguf/,
    });
    assert.throws(() => chosen(ID, 'README.md'), { code: 'E_USAGE', message: /holds no weights/ });
  });
});

describe('parseModelId', () => {
  it('splits repository, revision and file, and refuses what is none', () => {
    assert.deepEqual(parseModelId('a/b'), { repo: 'a/b', revision: 'main', file: null });
    assert.deepEqual(parseModelId('a/b.c@v1:d/e.gguf'), { repo: 'a/b.c', revision: 'v1', file: 'd/e.gguf' });
    for (const text of [
      'nano',
      './a/b',
      '/a/b',
      '../b',
      'a/..',
      'a/b/c',
      'a/b:../c',
      'a/b@..',
      'a/b:',
      'a/b@',
      'a b/c',
    ]) {
      assert.equal(parseModelId(text), null, text);
    }
    assert.throws(() => requireModelId('x'), { code: 'E_USAGE' });
  });
});

describe('hubSettings', () => {
  it("follows the environment variables of Hugging Face's tools", async () => {
    const home = await mkdtemp(join(folder, 'home-'));
    await writeFile(join(home, 'token'), 'saved\n');
    assert.deepEqual(await hubSettings({ HF_HOME: home }), {
      endpoint: 'https://huggingface.co',
      token: 'saved',
      cacheFolder: join(home, 'hub'),
      isOffline: false,
    });
    const env = {
      HF_HOME: home,
      HF_ENDPOINT: 'http://mirror/',
      HF_TOKEN: 'set',
      HF_HUB_CACHE: '/c',
      HF_HUB_OFFLINE: '1',
    };
    assert.deepEqual(await hubSettings(env), {
      endpoint: 'http://mirror',
      token: 'set',
      cacheFolder: '/c',
      isOffline: true,
    });
    const older = {
      HOME: '/h',
      HF_HOME: '~/x',
      HUGGINGFACE_HUB_CACHE: '${BIG}/$NONE',
      BIG: '/b',
      TRANSFORMERS_OFFLINE: 'on',
    };
    assert.deepEqual(await hubSettings({ ...older, HUGGING_FACE_HUB_TOKEN: 'old' }), {
      endpoint: 'https://huggingface.co',
      token: 'old',
      cacheFolder: '/b/$NONE',
      isOffline: true,
    });
    assert.equal((await hubSettings({ HOME: '/h', HF_HOME: '~/x' })).cacheFolder, '/h/x/hub');
    await assert.rejects(hubSettings({ HF_ENDPOINT: 'mirror' }), { code: 'E_USAGE' });
  });
});
