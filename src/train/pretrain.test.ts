import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { tinyConfig, tinyText } from '../../test/tiny-run.ts';
import { openBackend } from '../runtime/open-backend.ts';
import { createReferenceBackend } from '../runtime/reference.ts';
import { integer, randomStream } from '../util/rng.ts';
import { dryRun } from './dry-run.ts';
import { pretrain, type PretrainInput } from './pretrain.ts';
import type { PretrainConfig } from './pretrain-config.ts';
import type { TrainEvent } from './train-event.ts';

const root = mkdtempSync(join(tmpdir(), 'cria-pretrain-'));
after(() => rmSync(root, { recursive: true, force: true }));
const text = join(root, 'text.jsonl');
writeFileSync(text, tinyText());

function input(name: string, config: PretrainConfig, changes: Partial<PretrainInput> = {}): PretrainInput {
  return {
    config,
    out: join(root, name),
    isResumed: false,
    backend: createReferenceBackend({ precision: 'float32' }),
    peakFlops: null,
    watch: () => {},
    signal: null,
    now: () => 0,
    ...changes,
  };
}

/** Everything a run must reproduce: its last checkpoint and its logs, but for the times. */
function fingerprint(name: string, step: number): Record<string, string> {
  const checkpoint = join('checkpoints', `step-${step}`);
  const files = [
    'metrics.jsonl',
    'samples.jsonl',
    join(checkpoint, 'model.safetensors'),
    join(checkpoint, 'optimizer.safetensors'),
    join(checkpoint, 'trainer-state.json'),
  ];
  return Object.fromEntries(files.map((file) => [file, readFileSync(join(root, name, file), 'base64')]));
}

function metrics(name: string): Record<string, number>[] {
  const lines = readFileSync(join(root, name, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n');
  return lines.map((line) => JSON.parse(line) as Record<string, number>);
}

describe('pretrain', () => {
  it('learns, logs and leaves a model folder', async () => {
    const events: TrainEvent[] = [];
    const config = tinyConfig(text, { steps: 40 });
    await pretrain(input('learns', config, { watch: (event) => events.push(event) }));
    const records = metrics('learns');
    assert.equal(records.length, 40);
    assert.ok(records.at(-1)!.loss! < 0.6 * records[0]!.loss!);
    const evaluated = records.filter((record) => record.val_bits_per_byte !== undefined);
    assert.deepEqual(
      evaluated.map(({ step }) => step),
      [4, 8, 12, 16, 20, 24, 28, 32, 36, 40],
    );
    assert.ok(evaluated.at(-1)!.val_loss! < evaluated[0]!.val_loss!);
    for (const file of ['params.json', 'tokenizer.model', 'special_tokens.json', 'model.safetensors']) {
      assert.ok(existsSync(join(root, 'learns', 'checkpoints', 'step-40', file)), file);
    }
    assert.ok(events.some((event) => event.kind === 'start' && event.trainBytes > 0));
  });

  it('gives the same bytes when run again, and others for another seed', async () => {
    const config = tinyConfig(text);
    for (const [name, seed] of [
      ['first', 1],
      ['second', 1],
      ['other', 2],
    ] as const) {
      await pretrain(input(name, { ...config, seed }));
    }
    assert.deepEqual(fingerprint('second', 12), fingerprint('first', 12));
    assert.notEqual(fingerprint('other', 12)['metrics.jsonl'], fingerprint('first', 12)['metrics.jsonl']);
  });

  it('does the same in eight micro-steps as in one', async () => {
    const config = tinyConfig(text, { rowsPerStep: 8, rowsPerMicroStep: 8, steps: 6 });
    await pretrain(input('1x8', config));
    await pretrain(input('8x1', { ...config, train: { ...config.train, rowsPerMicroStep: 1 } }));
    for (const [i, { loss }] of metrics('1x8').entries()) {
      assert.ok(Math.abs(metrics('8x1')[i]!.loss! - loss!) < 1e-6 * loss!, `step ${i + 1}`);
    }
  });

  it('refuses to start over a run, to resume none, and to resume with other numbers', async () => {
    const config = tinyConfig(text, { steps: 1 });
    await assert.rejects(pretrain(input('fresh', config, { isResumed: true })), {
      code: 'E_USAGE',
      message: /holds no run/,
    });
    await pretrain(input('fresh', config));
    await assert.rejects(pretrain(input('fresh', config)), { code: 'E_USAGE', message: /--resume/ });
    const changed = { ...config, seed: 5 };
    const message = /seed \(was 1, is 5\)/;
    await assert.rejects(pretrain(input('fresh', changed, { isResumed: true })), { code: 'E_CONFIG', message });
  });

  it('names an impossible model, a row that is too long and a batch that does not divide', async () => {
    const config = tinyConfig(text);
    const cases: [PretrainConfig, RegExp][] = [
      [
        { ...config, model: { ...config.model, numKvHeads: 3 } },
        /numHeads \(2\) must be a multiple of numKvHeads \(3\)/,
      ],
      [tinyConfig(text, { seqLen: 32 }), /train\.seqLen \(32\) .*model\.maxSeqLen \(16\)/],
      [tinyConfig(text, { rowsPerMicroStep: 3 }), /rowsPerStep \(4\) must be a multiple/],
      [{ ...config, tokenizer: { folder: null, vocabSize: 200 } }, /vocabSize is 200/],
      [{ ...config, data: { ...config.data, files: [join(root, 'absent.txt')] } }, /absent\.txt: does not exist/],
    ];
    for (const [changed, message] of cases) {
      await assert.rejects(pretrain(input(`bad ${message}`.replaceAll(/\W/g, ''), changed)), message);
    }
  });
});

describe('dryRun', () => {
  it('shows the first batch as the model will see it, and what it costs', async () => {
    const config = tinyConfig(text);
    const result = await dryRun(config, createReferenceBackend({ precision: 'float32' }), 1e9, () => {});
    assert.deepEqual(result.config, config);
    for (const { tokens, row } of result.batch) {
      assert.equal(tokens[0]!.text, '<|begin_of_text|>');
      assert.ok(row < config.train.rowsPerMicroStep);
      for (const [i, token] of tokens.slice(1).entries()) assert.equal(tokens[i]!.target, token.id);
    }
    assert.ok(result.batch.some(({ tokens }) => tokens.at(-1)!.target === null && tokens.at(-1)!.targetText === null));
    assert.ok(result.memory.stateBytes > 0 && result.memory.activationBytes > 0 && result.estimatedSeconds! > 0);
  });
});

describe('kill -9', () => {
  const backend = openBackend(() => {}, null);

  it('at any moment, then --resume, gives the bytes of the uninterrupted run', { timeout: 120_000 }, async () => {
    const steps = 120;
    const config = { ...tinyConfig(text, { steps }), checkpoint: { everySteps: 2, keep: 2 } };
    await pretrain(input('uninterrupted', config, { backend }));
    const file = join(root, 'killed.json');
    writeFileSync(file, JSON.stringify(config));
    const moments = randomStream(7, 'kill');
    let kills = 0;
    for (let attempt = 0, isDone = false; !isDone; attempt++) {
      // From before the first step to beyond the middle; by steps and not by the clock, since machines differ. After six kills the child may finish.
      const isLast = attempt === 6;
      isDone = await runChild(file, isLast ? null : attempt * 12 + integer(moments, attempt, 12));
      if (!isDone) kills++;
    }
    assert.ok(kills >= 2, `${kills} kills`);
    assert.deepEqual(fingerprint('killed', steps), fingerprint('uninterrupted', steps));
  });
});

/** Steps that a run has logged so far. */
function loggedSteps(name: string): number {
  const log = join(root, name, 'metrics.jsonl');
  return existsSync(log) ? readFileSync(log, 'utf8').split('\n').length - 1 : 0;
}

/**
 * Runs the command line in a process of its own, killed once its folder is there and it has logged so many steps; true if it ended by itself,
 * successfully, before that.
 */
function runChild(configFile: string, killAtStep: number | null): Promise<boolean> {
  const bin = new URL('../../bin/cria.mjs', import.meta.url).pathname;
  const args = ['pretrain', '--recipe', 'tiny', '--config', configFile, '--out', join(root, 'killed')];
  const hasBegun = () => existsSync(join(root, 'killed', 'config.json'));
  const env = { ...process.env, CRIA_BACKEND: '' };
  const child = spawn(process.execPath, [bin, ...args, ...(hasBegun() ? ['--resume'] : [])], { env });
  let stderr = '';
  child.stderr.on('data', (chunk) => (stderr += String(chunk)));
  const watch = setInterval(() => {
    if (killAtStep !== null && hasBegun() && loggedSteps('killed') >= killAtStep) child.kill('SIGKILL');
  }, 1);
  return new Promise((resolve, reject) => {
    child.on('exit', (code, signal) => {
      clearInterval(watch);
      if (code === 0) resolve(true);
      else if (signal === 'SIGKILL') resolve(false);
      else reject(new Error(`exit ${code}: ${stderr}`));
    });
  });
}
