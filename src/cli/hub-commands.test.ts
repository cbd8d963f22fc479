/** `cria pull`, `list` and `remove`, and ids as --model, against a local hub. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { runCommand, type CommandResult } from '../../test/run-command.ts';
import { FAKE_COMMIT, FAKE_REPO, FAKE_TOKEN, startFakeHub, type FakeHub } from '../formats/hub-test-server.ts';
import { sharedPrefix } from '../infer/packed-cache.ts';
import { FIXTURES } from '../formats/toy-test-support.ts';

let folder = '';
let hub: FakeHub;
let env: Record<string, string> = {};

before(async () => (folder = await mkdtemp(join(tmpdir(), 'cria-hub-cli-'))));
after(() => rm(folder, { recursive: true }));
beforeEach(async () => {
  hub = await startFakeHub();
  for (const name of await readdir(`${FIXTURES}/toy-hf`)) {
    const content = await readFile(`${FIXTURES}/toy-hf/${name}`);
    hub.files.set(name, { content, isLarge: name.endsWith('.safetensors') });
  }
  env = { HF_ENDPOINT: hub.endpoint, HF_HOME: await mkdtemp(join(folder, 'home-')) };
});
afterEach(() => hub.close());

const cria = (...args: string[]): Promise<CommandResult> => runCommand(args, '', env);

/** Fails unless the command ends with 1, prints nothing and says this. */
async function assertFails(message: RegExp, ...args: string[]): Promise<void> {
  const { status, out, err } = await cria(...args);
  assert.deepEqual([status, out], [1, ''], err);
  assert.match(err, message);
}

describe('cria pull, list, remove', () => {
  it('download a model, show progress on stderr, find it by its id, list it and remove it', async () => {
    const pulled = await cria('pull', FAKE_REPO, '--json');
    assert.equal(pulled.status, 0, pulled.err);
    const { path, commit, files } = JSON.parse(pulled.out) as { path: string; commit: string; files: string[] };
    assert.deepEqual([commit, files.length], [FAKE_COMMIT, hub.files.size]);
    assert.match(pulled.err, /downloaded 100 % of/);

    const out = join(folder, 'logits.safetensors');
    const logits = await cria('logits', '--model', FAKE_REPO, '--ids', '1,2', '--out', out, '--backend', 'reference');
    assert.equal(logits.status, 0, logits.err);
    const inspected = await cria('inspect', `${FAKE_REPO}@main`, '--json');
    assert.equal((JSON.parse(inspected.out) as { path: string }).path, path);

    const [listed] = JSON.parse((await cria('list', '--json')).out) as { id: string; complete: boolean }[];
    assert.deepEqual([listed!.id, listed!.complete], [FAKE_REPO, true]);
    assert.match((await cria('list')).out, /^org\/model +[\d.]+ kB\n$/);
    const cache = join(folder, 'packed');
    await mkdir(cache);
    env['CRIA_CACHE'] = cache;
    for (const packed of [path, join(path, files[0]!), `${path}x`])
      await writeFile(join(cache, `${sharedPrefix(packed)}q4`), '');
    assert.match((await cria('remove', FAKE_REPO)).out, /removed org\/model/);
    assert.deepEqual(await readdir(cache), [`${sharedPrefix(`${path}x`)}q4`], 'packed weights of the model go with it');
    assert.deepEqual(JSON.parse((await cria('list', '--json')).out), []);
    await mkdir(join(env['HF_HOME']!, 'hub', 'models--org--model', 'refs'), { recursive: true });
    assert.match((await cria('list')).out, /not complete/, 'as Python leaves it when a download fails at its start');
    await rm(join(env['HF_HOME']!, 'hub'), { recursive: true });
    await assertFails(/org\/model is not in .*; cria list/, 'remove', FAKE_REPO);
  });

  it('continue after cut connections', async () => {
    const bytes = 100; // less than any file has
    hub.cuts = { bytes, times: 1 };
    assert.equal((await cria('pull', FAKE_REPO)).status, 0);
    const continued = hub.requests.filter(({ range }) => range?.startsWith(`bytes=${bytes}-`));
    assert.equal(continued.length, 1);
  });

  it('refuse content with a wrong checksum', async () => {
    const name = 'config.json';
    hub.files.set(name, { ...hub.files.get(name)!, claimedHash: '1'.repeat(40) });
    await assertFails(/config\.json arrived with checksum/, 'pull', FAKE_REPO);
  });

  it('say what to do about gated models, and use HF_TOKEN', async () => {
    hub.gate = 'needs-token';
    await assertFails(/is gated: accept its licence at .*HF_TOKEN/, 'pull', FAKE_REPO);
    env['HF_TOKEN'] = FAKE_TOKEN;
    assert.equal((await cria('pull', FAKE_REPO)).status, 0);
  });

  it('work offline with what is there', async () => {
    env['HF_HUB_OFFLINE'] = '1';
    await assertFails(/HF_HUB_OFFLINE forbids/, 'pull', FAKE_REPO);
    delete env['HF_HUB_OFFLINE'];
    await cria('pull', FAKE_REPO);
    env['HF_HUB_OFFLINE'] = '1';
    const numRequests = hub.requests.length;
    assert.equal((await cria('pull', FAKE_REPO)).status, 0);
    assert.equal(hub.requests.length, numRequests);
  });

  it('name the command that downloads a model that is not there, without asking the network', async () => {
    await assertFails(/run cria pull org\/absent if/, 'inspect', 'org/absent');
    assert.equal(hub.requests.length, 0);
  });

  it('refuse ids that are none, and to remove a part', async () => {
    for (const args of [
      ['pull', 'model'],
      ['pull', '../../etc/passwd'],
      ['remove', 'org/model@main'],
    ]) {
      const { status, err } = await cria(...args);
      assert.equal(status, 2, err);
    }
  });

  it('choose one of several GGUF files by its name', async () => {
    const content = await readFile(`${FIXTURES}/toy.gguf`);
    hub.files.clear();
    for (const name of ['toy-a.gguf', 'toy-b.gguf']) hub.files.set(name, { content, isLarge: true });
    const { status, err } = await cria('pull', FAKE_REPO);
    assert.equal(status, 2);
    assert.match(err, /pull one of: org\/model:toy-a\.gguf, org\/model:toy-b\.gguf/);
    assert.equal((await cria('pull', `${FAKE_REPO}:toy-b.gguf`)).status, 0);
    const inspected = await cria('inspect', `${FAKE_REPO}:toy-b.gguf`, '--json');
    assert.match((JSON.parse(inspected.out) as { path: string }).path, /toy-b\.gguf$/);
    await assertFails(/run cria pull/, 'inspect', `${FAKE_REPO}:toy-a.gguf`);
  });
});
