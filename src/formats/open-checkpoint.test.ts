import { strict as assert } from 'node:assert';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openCheckpoint } from './open-checkpoint.ts';
import { FIXTURES, TOY_CONFIG } from './toy-test-support.ts';

let folder = '';
before(async () => (folder = await mkdtemp(join(tmpdir(), 'cria-open-'))));
after(() => rm(folder, { recursive: true }));

describe('openCheckpoint', () => {
  it('recognises every layout by what lies there', async () => {
    const inFolder = await mkdtemp(join(folder, 'gguf-'));
    await cp(`${FIXTURES}/toy.gguf`, join(inFolder, 'x.gguf'));
    await cp(`${FIXTURES}/toy.gguf`, join(folder, 'no-extension'));
    const cases = [
      [`${FIXTURES}/toy-hf`, 'hf'],
      [`${FIXTURES}/toy-meta-mp4`, 'meta'],
      [`${FIXTURES}/toy.gguf`, 'gguf'],
      [inFolder, 'gguf'],
      [join(folder, 'no-extension'), 'gguf'],
    ] as const;
    for (const [path, format] of cases) {
      const checkpoint = await openCheckpoint(path);
      assert.equal(checkpoint.format, format);
      assert.deepEqual(checkpoint.config, TOY_CONFIG);
      await checkpoint.close();
    }
  });

  it('says what was expected when it finds something else', async () => {
    const empty = await mkdtemp(join(folder, 'empty-'));
    const two = await mkdtemp(join(folder, 'two-'));
    await writeFile(join(two, 'a.gguf'), '');
    await writeFile(join(two, 'b.gguf'), '');
    await writeFile(join(two, 'short'), 'GG');
    const cases = [
      [join(folder, 'absent'), /absent: does not exist; expected a Hugging Face folder/],
      [empty, /holds no model/],
      [two, /name one of: a\.gguf, b\.gguf/],
      [join(two, 'short'), /is no GGUF file; expected/],
      [`${FIXTURES}/toy.safetensors`, /give the folder it lies in/],
    ] as const;
    for (const [path, message] of cases) await assert.rejects(openCheckpoint(path), { code: 'E_FORMAT', message });
  });
});
