/** `cria inspect` and `cria convert` on the toy model of test/fixtures/formats. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runCommand } from '../../test/run-command.ts';
import { openCheckpoint } from '../formats/open-checkpoint.ts';
import { assertSameTensors, FIXTURES, openToyWeights, TOY_CONFIG } from '../formats/toy-test-support.ts';

const POSIX = { skip: process.platform === 'win32' };

let folder = '';
before(async () => (folder = await mkdtemp(join(tmpdir(), 'cria-checkpoints-'))));
after(() => rm(folder, { recursive: true }));

type Inspected = {
  format: string;
  problem: string | null;
  config: object | null;
  parameters: number;
  bytes: number;
  types: Record<string, { tensors: number; bytes: number }>;
  metadata: Record<string, unknown>;
  tensors: { name: string; type: string; shape: number[]; bytes: number }[];
  tokenizer: { kind: string; pattern: string; vocab_size: number; stop_tokens: string[] } | null;
  chat_template: string | null;
};

async function inspected(path: string): Promise<Inspected> {
  const { status, out, err } = await runCommand(['inspect', path, '--json']);
  assert.equal(status, 0, err);
  return JSON.parse(out) as Inspected;
}

describe('cria inspect', () => {
  it('tells the same of a model in every format, with the names that each has for tensors', async () => {
    const wq = { hf: 'model.layers.0.self_attn.q_proj', gguf: 'blk.0.attn_q', meta: 'layers.0.attention.wq' };
    for (const [format, name] of Object.entries(wq)) {
      const { problem, ...told } = await inspected(`${FIXTURES}/${format === 'gguf' ? 'toy.gguf' : `toy-${format}`}`);
      assert.deepEqual([told.format, problem, told.config], [format, null, TOY_CONFIG]);
      assert.deepEqual(told.tensors.find((tensor) => tensor.name === `${name}.weight`)?.shape, [
        TOY_CONFIG.dim,
        TOY_CONFIG.dim,
      ]);
      assert.equal(
        told.bytes,
        told.tensors.reduce((sum, { bytes }) => sum + bytes, 0),
      );
      assert.equal(
        told.tensors.length,
        Object.values(told.types).reduce((sum, { tensors }) => sum + tensors, 0),
      );
    }
  });

  it('shows vocabularies by their length, and the same for people', async () => {
    const gguf = await inspected(`${FIXTURES}/toy.gguf`);
    assert.equal(gguf.metadata['general.architecture'], 'llama');
    const { status, out } = await runCommand(['inspect', `${FIXTURES}/toy.gguf`]);
    assert.equal(status, 0);
    assert.match(out, /gguf, [\d.]+k parameters/);
    assert.match(out, /blk\.0\.attn_q\.weight +\w+ +\[32, 32\]/);
    assert.match(out, /general\.architecture: "llama"/);
  });

  it('looks into single files, and into models that do not run here', async () => {
    const single = await inspected(`${FIXTURES}/toy-meta/consolidated.00.pth`);
    assert.deepEqual([single.format, single.config], ['torch', null]);
    assert.match(single.problem!, /no configuration|without a configuration/);
    assert.equal((await inspected(`${FIXTURES}/dtypes.safetensors`)).format, 'safetensors');
    const other = join(folder, 'other.gguf');
    const bytes = await readFile(`${FIXTURES}/toy.gguf`);
    bytes.write('lxama', bytes.indexOf('llama'));
    await writeFile(other, bytes);
    const { problem, tensors, metadata } = await inspected(other);
    assert.match(problem!, /lxama/);
    assert.ok(tensors.length > 0 && Object.keys(metadata).length > 0);
  });

  it('says that a file is only a part of one, or a pointer to one', async () => {
    const part = join(folder, 'part.gguf');
    const bytes = await readFile(`${FIXTURES}/toy.gguf`);
    for (const length of [bytes.length - 64, 3000, 100]) {
      await writeFile(part, bytes.subarray(0, length));
      const { status, err } = await runCommand(['inspect', part]);
      assert.equal(status, 1);
      assert.match(err, /part\.gguf: .*cut off or damaged/);
    }
    const clone = join(folder, 'clone');
    await cp(`${FIXTURES}/toy-hf`, clone, { recursive: true });
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 18384\n';
    await writeFile(join(clone, 'model-00002-of-00004.safetensors'), pointer);
    const { err } = await runCommand(['logits', '--model', clone, '--ids', '1', '--out', part]);
    assert.match(err, /model-00002-of-00004\.safetensors: is a Git LFS pointer.*git lfs pull/);
  });

  it('names a file that is nothing of the kind', POSIX, async () => {
    const path = join(folder, 'notes.txt');
    await writeFile(path, 'llamas');
    const bare = await mkdtemp(join(folder, 'bare-'));
    await writeFile(join(bare, 'model.safetensors'), '');
    const pipe = join(folder, 'pipe.gguf');
    execFileSync('mkfifo', [pipe]); // opening it would wait for somebody who writes
    const empty = join(folder, 'empty.gguf');
    await writeFile(empty, '');
    for (const [name, message] of [
      [pipe, /pipe\.gguf: is not a regular file/],
      [empty, /empty\.gguf: is empty; fetch it again/],
      [path, /notes\.txt: is neither a GGUF/],
      [join(folder, 'absent'), /absent: does not exist/],
      [await mkdtemp(join(folder, 'empty-')), /holds no model/],
      [bare, /holds model\.safetensors, but no configuration/],
    ] as const) {
      const { status, out, err } = await runCommand(['inspect', name]);
      assert.deepEqual([status, out], [1, ''], err);
      assert.match(err, message);
    }
  });
});

describe('cria convert', () => {
  it('goes round through all formats without changing a bit, and shows how far it is on stderr', async () => {
    let from = `${FIXTURES}/toy-hf`;
    for (const [to, name] of [
      ['gguf', 'toy.gguf'],
      ['meta', 'meta'],
      ['hf', 'hf'],
    ] as const) {
      const out = join(folder, name);
      const result = await runCommand(['convert', '--model', from, '--to', to, '--out', out, '--json']);
      assert.equal(result.status, 0, result.err);
      assert.deepEqual(JSON.parse(result.out), { out, format: to, type: 'bf16', has_tokenizer: false });
      assert.match(result.err, /^converted 1\d % of .*converted 100 % of [\d.]+ kB\n$/s);
      from = out;
    }
    const [checkpoint, toy] = [await openCheckpoint(from), await openToyWeights()];
    await assertSameTensors(checkpoint.weights, toy);
    await Promise.all([checkpoint.close(), toy.close()]);
  });

  it('quantises', async () => {
    const out = join(folder, 'q8.gguf');
    const args = ['convert', '--model', `${FIXTURES}/toy-hf`, '--to', 'gguf', '--type', 'q8_0', '--out', out];
    const { status, out: said } = await runCommand(args);
    assert.deepEqual([status, said], [0, `wrote ${out} (gguf, q8_0, without a tokenizer)\n`]);
    assert.ok((await inspected(out)).types['Q8_0']!.tensors > 10);
  });

  it('says what is wrong with the place to write to, before it converts anything', async () => {
    const model = ['convert', '--model', `${FIXTURES}/toy-hf`];
    const taken = await mkdtemp(join(folder, 'taken-'));
    await writeFile(join(taken, 'a'), '');
    for (const [args, message] of [
      [['--to', 'gguf', '--out', taken], /taken-\w+: is a folder; give the name of a file\n$/],
      [
        ['--to', 'gguf', '--out', join(folder, 'no', 'x.gguf')],
        /x\.gguf: cannot be written, its folder does not exist/,
      ],
      [['--to', 'hf', '--out', taken], /taken-\w+: already holds 1 files/],
    ] as const) {
      const { status, err } = await runCommand([...model, ...args]);
      assert.equal(status, 2, err);
      assert.match(err, message);
      assert.equal(err.trimEnd().split('\n').length, 1, err);
    }
  });

  it('refuses formats and types that are none, with the list of those that are', async () => {
    const model = ['convert', '--model', `${FIXTURES}/toy-hf`, '--out', join(folder, 'never')];
    for (const [args, message] of [
      [['--to', 'onnx'], /--to must be one of hf, gguf, meta/],
      [['--to', 'hf', '--type', 'q4_0'], /choose one of: f32, f16, bf16/],
      [['--to', 'gguf', '--type', 'q9'], /choose one of: .*q4_k_m/],
    ] as const) {
      const { status, err } = await runCommand([...model, ...args]);
      assert.equal(status, 2);
      assert.match(err, message);
    }
  });
});
