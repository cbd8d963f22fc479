import { strict as assert } from 'node:assert';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { captureIo, runCommand } from '../../test/run-command.ts';
import { criaParamsJson } from '../formats/meta-params.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import { tensorInMemory, writeSafetensors } from '../formats/safetensors-write.ts';
import { saveTokenizerFolder } from '../formats/tokenizer-files.ts';
import { llamaWeightShapes } from '../model/config.ts';
import { sizeConfig } from '../model/sizes.ts';
import { numValues } from '../tensor/dtype.ts';
import { trainBpe } from '../tokenizer/train-bpe.ts';
import { fillNormal, randomStream } from '../util/rng.ts';
import { main } from './main.ts';

const folder = mkdtempSync(join(tmpdir(), 'cria-generation-'));
const model = join(folder, 'model');
const CONTEXT = 300;
after(() => rmSync(folder, { recursive: true }));

before(async () => {
  const tokenizer = trainBpe(['the theory of the thing is in the thing '], { vocabSize: 280 });
  const config = { ...sizeConfig('tiny'), vocabSize: tokenizer.vocabSize, maxSeqLen: CONTEXT };
  const tensors = [...llamaWeightShapes(config)].map(([name, shape]) => {
    const values = new Float32Array(numValues(shape)).fill(1);
    if (shape.length > 1) fillNormal(values, randomStream(1, name), { std: 0.1 });
    return tensorInMemory(name, 'F32', shape, values);
  });
  await saveTokenizerFolder(model, tokenizer);
  await writeSafetensors(join(model, 'model.safetensors'), tensors);
  writeFileSync(join(model, 'params.json'), JSON.stringify(criaParamsJson(config)));
});

async function json(...args: string[]): Promise<Record<string, unknown>> {
  const { status, out, err } = await runCommand([...args, '--json']);
  assert.equal(status, 0, err);
  return JSON.parse(out) as Record<string, unknown>;
}

async function refusal(...args: string[]): Promise<string> {
  const { status, out, err } = await runCommand(args);
  assert.ok(status > 0, `cria ${args.join(' ')} succeeded`);
  assert.equal(out, '');
  const errors = err
    .trim()
    .split('\n')
    .filter((line) => !line.startsWith('slow: ')); // of the threads the tests are run with
  assert.equal(errors.length, 1, err);
  return errors[0]!;
}

const generate = (...args: string[]) => json('generate', '--model', model, '--prompt', 'the', ...args);

describe('cria generate', () => {
  it('prints text, ids, why it ended, usage and timings as one JSON value', async () => {
    const reply = await generate('--max-tokens', '5', '--seed', '1');
    assert.deepEqual(Object.keys(reply), ['text', 'ids', 'finish_reason', 'seed', 'usage', 'timings']);
    assert.equal((reply['ids'] as number[]).length, 5);
    assert.equal(reply['finish_reason'], 'length');
    assert.deepEqual(reply['usage'], { prompt_tokens: 2, completion_tokens: 5, total_tokens: 7 });
    const timings = Object.entries(reply['timings'] as Record<string, number>);
    assert.deepEqual(
      timings.map(([name]) => name),
      ['load_ms', 'prefill_ms', 'prefill_tps', 'decode_ms', 'decode_tps'],
    );
    assert.ok(timings.every(([, value]) => value > 0));
  });

  it('gives the same text for the same seed, streamed or not, on either backend', async () => {
    const reply = await generate('--max-tokens', '12', '--seed', '7');
    assert.equal((await generate('--max-tokens', '12', '--seed', '7'))['text'], reply['text']);
    assert.notEqual((await generate('--max-tokens', '12', '--seed', '8'))['text'], reply['text']);
    const args = ['generate', '--model', model, '--prompt', 'the', '--max-tokens', '12', '--seed', '7'];
    assert.equal((await runCommand(args)).out, `${reply['text']}\n`);
    assert.equal((await runCommand([...args, '--backend', 'reference'])).out, `${reply['text']}\n`);
  });

  it('gives the same text when it guesses ahead, from the text or with a model, and tells how often it was right', async () => {
    const args = ['--max-tokens', '40', '--seed', '7'];
    const plain = await generate(...args);
    for (const how of ['ngram', model]) {
      const reply = await generate(...args, '--speculate', how, '--draft-tokens', '3');
      assert.deepEqual([reply['text'], reply['ids']], [plain['text'], plain['ids']]);
      const { drafted, accepted } = reply['speculation'] as Record<string, number>;
      assert.ok(accepted! <= drafted!);
      if (how === model) assert.ok(accepted! > 5, `${accepted} of ${drafted}`);
    }
  });

  it('draws as the flags say, each of which changes the text', async () => {
    const args = ['--max-tokens', '24', '--seed', '7', '--temperature', '1.5', '--top-p', '1'];
    const plain = (await generate(...args))['ids'] as number[];
    for (const flag of [
      ['--min-p', '0.6'],
      ['--typical-p', '0.2'],
      ['--top-k', '2'],
      ['--repetition-penalty', '3'],
      ['--presence-penalty', '5'],
      ['--frequency-penalty', '5'],
    ]) {
      assert.notDeepEqual((await generate(...args, ...flag))['ids'], plain, flag[0]);
    }
    const likeliest = await generate('--max-tokens', '24', '--temperature', '0');
    assert.deepEqual((await generate(...args, '--min-p', '1'))['ids'], likeliest['ids']);
    const distinct = (await generate(...args, '--frequency-penalty', '100'))['ids'] as number[];
    assert.equal(new Set(distinct).size, distinct.length);
  });

  it('ends before a text that --stop names', async () => {
    const args = ['--max-tokens', '24', '--seed', '7'];
    const text = (await generate(...args))['text'] as string;
    const [first, second] = [text.slice(8, 10), text.slice(5, 7)];
    const reply = await generate(...args, '--stop', first, '--stop', second);
    assert.equal(reply['text'], text.slice(0, Math.min(text.indexOf(first), text.indexOf(second))));
    assert.equal(reply['finish_reason'], 'stop');
  });

  it('fills the context by default, and generates from a training run', async () => {
    const reply = await generate('--temperature', '0', '--context', '30');
    assert.deepEqual(reply['usage'], { prompt_tokens: 2, completion_tokens: 28, total_tokens: 30 });
    const run = join(folder, 'run');
    mkdirSync(join(run, 'checkpoints'), { recursive: true });
    assert.match(await refusal('generate', '--model', run, '--prompt', 'x'), /without a checkpoint yet/);
  });

  it('says in one sentence what is wrong with a call', async () => {
    const wrong = async (message: RegExp, ...args: string[]) =>
      assert.match(await refusal('generate', '--model', model, '--prompt', 'the', ...args), message);
    await wrong(/prompt of 2 tokens and 400 tokens .* do not fit in the context of 300/, '--max-tokens', '400');
    await wrong(/context of 301 tokens is longer than the 300 this model was trained for/, '--context', '301');
    await wrong(/--draft-tokens must be a whole number from 1/, '--speculate', 'ngram', '--draft-tokens', '0');
    await wrong(/--max-tokens must be a whole number from 1, got 0/, '--max-tokens', '0');
    await wrong(/temperature must be a number from 0, got -1/, '--temperature', '-1');
    await wrong(/top-p must be from 0 to 1, got 3/, '--top-p', '3');
    await wrong(/min-p must be from 0 to 1, got 2/, '--min-p', '2');
    await wrong(/--typical-p must be a number, got x/, '--typical-p', 'x');
    await wrong(/repetition penalty must be a number above 0, got 0/, '--repetition-penalty', '0');
    await wrong(/--precision must be one of auto, f32, bf16, q8, q4, got q3/, '--precision', 'q3');
    await wrong(/unknown backend "gpu": use one of native, reference/, '--backend', 'gpu');
    assert.match(await refusal('generate', '--model', join(folder, 'no'), '--prompt', 'x'), /does not exist/);
    const long = 'thing '.repeat(400);
    assert.match(await refusal('generate', '--model', model, '--prompt', long), /leaves no room|do not fit/);
  });
});

describe('cria perplexity', () => {
  it('prints the likelihood of a text as JSON, and refuses what is no text', async () => {
    const file = join(folder, 'text.txt');
    writeFileSync(file, 'the theory of the thing '.repeat(20));
    const measured = await json('perplexity', '--model', model, '--file', file, '--context', '32', '--windows', '2');
    assert.deepEqual([measured['tokens'], measured['windows']], [30, 2]);
    assert.ok(Math.abs(Math.exp(Number(measured['nll'])) - Number(measured['perplexity'])) < 1e-6);
    const call = ['perplexity', '--model', model, '--file'];
    writeFileSync(file, Uint8Array.of(0x61, 0xff, 0x62));
    assert.match(await refusal(...call, file), /text\.txt: is not UTF-8 text/);
    assert.match(await refusal(...call, folder), /cannot be read \(EISDIR\); give a text file/);
  });
});

describe('cria serve', () => {
  it('refuses a port that is none', async () => {
    assert.match(await refusal('serve', model, '--port', '99999'), /--port must be a whole number from 0 to 65535/);
  });
});

async function logitsOf(ids: readonly number[]): Promise<Float32Array> {
  const out = join(folder, 'logits.safetensors');
  const report = await json('logits', '--model', model, '--ids', ids.join(','), '--out', out);
  const file = await openSafetensors(out);
  const logits = await file.read('logits', 'F32');
  assert.deepEqual(file.tensors.get('logits')!.shape, report['shape']);
  await file.close();
  return logits;
}

const logitsRefusal = (ids: string) =>
  refusal('logits', '--model', model, '--ids', ids, '--out', join(folder, 'refused.safetensors'));

describe('cria logits', () => {
  it('writes the logits of every token, the same however many are asked for at once', async () => {
    const ids = Array.from({ length: 270 }, (_, i) => (i * 7) % 250);
    const all = await logitsOf(ids);
    const first = await logitsOf(ids.slice(0, 3));
    assert.equal(all.length % 270, 0);
    assert.deepEqual(first, all.slice(0, first.length));
  });

  it('refuses ids that the model does not know, that are no ids, and too many', async () => {
    assert.match(await logitsRefusal('1,999'), /token 1 is 999, the model knows the ids 0 to \d+/);
    assert.match(await logitsRefusal('1,-2'), /whole numbers separated by commas, got "-2"/);
    assert.match(await logitsRefusal(''), /got ""/);
    assert.match(
      await logitsRefusal(Array.from({ length: 301 }, () => 1).join(',')),
      /301 tokens do not fit in the context of 300/,
    );
  });
});

describe('cria chat', () => {
  it('continues each line that is piped in', async () => {
    const args = ['chat', model, '--seed', '3', '--temperature', '0'];
    const { status, out, err } = await runCommand(args, 'the thing\n\nthe theory\n/exit\nnever\n');
    assert.equal(status, 0, err);
    assert.match(err, /not trained to chat/);
    const first = await runCommand(args, 'the thing\n');
    assert.ok(out.startsWith(first.out) && out.length > first.out.length);
  });

  it('stops a reply at the first Ctrl-C and ends at the second', async () => {
    const { io, written } = captureIo();
    const stdin = Object.assign(new PassThrough(), { isTTY: true });
    let interrupts = 0;
    (io.stdout as PassThrough).on('data', () => {
      // The reply has begun, later the prompt is back.
      const isReplying =
        interrupts === 0 && written.out.includes('the thing') && !written.out.trimEnd().endsWith('thing');
      const isWaiting = interrupts === 1 && written.out.trimEnd().endsWith('>');
      if (!isReplying && !isWaiting) return;
      interrupts++;
      stdin.write('\u0003');
    });
    stdin.write('the thing\n');
    const status = await main(['chat', model, '--seed', '3'], { ...io, stdin });
    assert.deepEqual([status, interrupts], [0, 2]);
  });
});

describe('cria bench', () => {
  it('measures a model and random weights of a shape', async () => {
    for (const which of [
      ['--shape', 'tiny'],
      ['--model', model],
    ]) {
      const small = ['--prompt-tokens', '20', '--gen-tokens', '8', '--concurrency', '2', '--rounds', '1'];
      const report = await json('bench', ...which, ...small);
      for (const key of ['prefill_tps', 'decode_tps', 'bandwidth_gbps', 'peak_rss_mib']) {
        assert.ok((report[key] as number) > 0, key);
      }
      assert.ok('bandwidth_limit_gbps' in report && 'outside_kernels_share' in report);
    }
  });

  it('wants a model or a shape', async () => {
    assert.match(await refusal('bench'), /either --model or --shape/);
    assert.match(await refusal('bench', '--shape', 'llama9'), /unknown model size "llama9": use one of llama3-8b/);
  });
});

describe('cria plan', () => {
  it('prints the plan of a size, as JSON or for people', async () => {
    const plan = await json(
      'plan',
      '--size',
      'llama3-70b',
      '--context',
      '8192',
      '--kv',
      'f16',
      '--train',
      '--machine',
      'h100',
    );
    assert.equal(plan['parameters'], 70_553_706_496);
    assert.equal(plan['kv_cache_bytes'], 2.5 * 2 ** 30);
    assert.equal(plan['kv_cache_bytes_without_gqa'], 20 * 2 ** 30);
    assert.ok((plan['training'] as Record<string, number>)['cost_usd']! > 1e6);
    const { out } = await runCommand(['plan', '--size', 'llama3-8b', '--machine', 'h100']);
    assert.match(
      out,
      /^llama3-8b: 8.03B parameters, 1 x 8192 tokens, on H100[^]*KV cache +1.00 GiB.*without grouped queries 4.00 GiB/,
    );
  });

  it('refuses an unknown size and a context beyond the training of the model', async () => {
    assert.match(await refusal('plan', '--size', 'llama4'), /unknown model size/);
    assert.match(
      await refusal('plan', '--size', 'llama3-8b', '--context', '9000', '--machine', 'h100'),
      /8192 tokens, got/,
    );
  });
});
