/**
 * Whether lm-evaluation-harness, asking `cria serve`, gets what it gets of the same weights in Transformers: log-likelihoods of answers, of a
 * whole text, and greedy texts.
 *
 *   npx tsx bench/eval-harness.ts FOLDER [--json]
 *
 * FOLDER is a Hugging Face folder of f32 weights, as `cria convert --to hf --type f32` writes it. Needs lm-eval (bench/peers/README.md).
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { basename, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs, promisify } from 'node:util';
import { report } from './interleave.ts';
import { peerScript, peersPython } from './peers/python.ts';
import { UsageError } from '../src/util/errors.ts';

/** Of a log-likelihood, in parts of it: both sides compute in float32, in another order. */
const TOLERANCE = 1e-4;

interface Compared {
  readonly likelihoods: number;
  readonly largestDifference: number;
  readonly sameGreedy: number;
  /** Log-likelihood of a whole text by the server and by Transformers. */
  readonly rolling: readonly [number, number];
  readonly texts: number;
  readonly sameTexts: number;
}

/** The server with one model, ready. */
async function serve(folder: string) {
  const args = ['serve', folder, '--precision', 'f32', '--port', '0', '--json', '--log-level', 'error'];
  const server = spawn(process.execPath, [join(import.meta.dirname, '../bin/cria.mjs'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await Promise.race([
    once(createInterface(server.stdout), 'line'),
    once(server, 'exit').then(() => Promise.reject(new Error('the server ended before it listened'))),
  ])) as [string];
  return { server, url: (JSON.parse(line) as { url: string }).url };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false } },
});
const [given] = positionals;
if (given === undefined) throw new UsageError('name a Hugging Face folder: npx tsx bench/eval-harness.ts FOLDER');
const folder = resolve(given);
const { server, url } = await serve(folder);
try {
  const args = [peerScript('eval_harness.py'), folder, `${url}/v1`, basename(folder)];
  const { stdout } = await promisify(execFile)(peersPython(), args, { maxBuffer: 2 ** 24 });
  const compared = JSON.parse(stdout.trim().split('\n').at(-1)!) as Compared;
  report(values.json, compared, () => [
    `${compared.likelihoods} log-likelihoods, differing by ${compared.largestDifference.toExponential(1)} of their value at most, ${compared.sameGreedy} agree on greedy`,
    `log-likelihood of a text: ${compared.rolling.map((value) => value.toFixed(4)).join(' by the server, ')} by Transformers`,
    `${compared.sameTexts} of ${compared.texts} greedy texts the same`,
  ]);
  const { rolling, likelihoods, sameGreedy, texts, sameTexts, largestDifference } = compared;
  const isSame = sameGreedy === likelihoods && sameTexts === texts;
  const isClose = Math.max(largestDifference, Math.abs(rolling[0] / rolling[1] - 1)) < TOLERANCE;
  if (!isSame || !isClose) process.exitCode = 1;
} finally {
  server.kill('SIGTERM');
  await once(server, 'exit');
}
