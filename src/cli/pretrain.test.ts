import { strict as assert } from 'node:assert';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { runCommand } from '../../test/run-command.ts';
import { tinyConfig, tinyText } from '../../test/tiny-run.ts';

const folder = mkdtempSync(join(tmpdir(), 'cria-cli-pretrain-'));
after(() => rmSync(folder, { recursive: true }));
const text = join(folder, 'text.jsonl');
writeFileSync(text, tinyText());
const config = join(folder, 'config.json');
writeFileSync(config, JSON.stringify(tinyConfig(text, { steps: 2 })));

const pretrain = (...args: string[]) => runCommand(['pretrain', ...args]);

describe('cria pretrain', () => {
  it('trains with progress on stderr and one JSON value on stdout', async () => {
    const out = join(folder, 'run');
    const result = await pretrain('--recipe', 'tiny', '--config', config, '--set', 'seed=3', '--out', out, '--json');
    assert.equal(result.status, 0, result.err);
    const report = JSON.parse(result.out) as { out: string; step: number };
    assert.deepEqual([report.out, report.step], [out, 2]);
    assert.match(result.err, /2\/2 {2}loss \d\.\d+ {2}\d\.\d+ bits\/byte {2}\(held out \d/);
    assert.ok(existsSync(join(out, 'checkpoints', 'step-2', 'model.safetensors')));
    const again = await pretrain('--out', out, '--resume');
    assert.equal(again.status, 0, again.err);
  });

  it('shows what it would do and does nothing', async () => {
    const args = ['--recipe', 'tiny', '--config', config, '--dry-run'];
    const plain = await pretrain(...args);
    assert.match(plain.out, /"rowsPerStep": 4/);
    assert.match(plain.out, /first micro-batch: \d+ documents\nrow 0, tokens 0 to/);
    assert.match(plain.out, /"<\|begin_of_text\|>" -> \d+ "/);
    assert.match(plain.out, / -> -\n/);
    assert.match(plain.out, /for weights, gradients and moments, .* for a step/);
    const { memory, batch } = JSON.parse((await pretrain(...args, '--json')).out) as Record<string, object>;
    assert.ok(memory && batch);
  });

  it('says in one sentence what is wrong', async () => {
    const broken = join(folder, 'broken.json');
    writeFileSync(broken, '{"train":');
    const run = ['--recipe', 'tiny', '--config', config];
    const out = ['--out', join(folder, 'wrong')];
    for (const [args, status, message] of [
      [['--recipe', 'nanno', ...out], 2, /no recipe "nanno"; use one of nano, tiny/],
      [out, 2, /--recipe is missing; use one of nano/],
      [run, 2, /--out is missing/],
      [[...run, ...out, '--set', 'train.stepz=1'], 2, /no setting train\.stepz; there are seed, .*train\.steps/],
      [[...run, ...out, '--set', 'train.steps=many'], 2, /train\.steps: /],
      [[...run, ...out, '--resume'], 2, /holds no run to resume/],
      [['--recipe', 'tiny', '--config', broken, ...out], 2, /broken\.json: is not JSON/],
      [['--recipe', 'tiny', '--config', join(folder, 'no.json'), ...out], 1, /no\.json: does not exist/],
      [[...run, ...out, '--set', `data.files=["${folder}/no.txt"]`], 1, /no\.txt: does not exist/],
    ] as const) {
      const result = await pretrain(...args);
      assert.equal(result.status, status, result.err);
      assert.match(result.err, message);
    }
  });

  it('says how much memory is needed before taking it', async () => {
    const sizes = ['model.dim=16384', 'model.headDim=8192', 'model.numLayers=4', 'model.ffnDim=65536'];
    const settings = sizes.flatMap((size) => ['--set', size]);
    const result = await pretrain('--recipe', 'tiny', '--config', config, '--out', join(folder, 'large'), ...settings);
    assert.equal(result.status, 1);
    assert.match(result.err, /needs \d+\.\d GiB of memory and .* are available; .*train\.rowsPerMicroStep/);
  });
});
