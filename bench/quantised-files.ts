/**
 * Quality of the K-quant files that `cria convert` writes, beside those of llama.cpp's quantiser made from the same float32 file: perplexity of
 * either by cria, with the weights in float32, window by window.
 *
 *   npx tsx bench/quantised-files.ts F32.gguf TEXT_FILE [--types q4_k_m,q5_k_m,q6_k] [--windows 20] [--folder FOLDER] [--json]
 *
 * About a minute a type once its files are made, on two cores, for 135 million parameters. Files in --folder
 * (cria-TYPE.gguf, llama-TYPE.gguf) are kept and used again. Needs llama.cpp's libraries (bench/peers/README.md).
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { report } from './interleave.ts';
import { peerScript, peersPython } from './peers/python.ts';
import { convertCheckpoint } from '../src/formats/convert.ts';
import { checkpointTokenizer } from '../src/formats/convert-tokenizer.ts';
import { openCheckpoint } from '../src/formats/open-checkpoint.ts';
import { loadModel } from '../src/infer/model.ts';
import { ModelRunner } from '../src/infer/model-runner.ts';
import { measurePerplexity } from '../src/infer/perplexity.ts';
import { createNativeBackend } from '../src/runtime/native.ts';
import { UsageError } from '../src/util/errors.ts';

const WINDOW_TOKENS = 512;
const THREADS = 2;

interface Result {
  readonly type: string;
  readonly ours: number;
  readonly theirs: number;
  /** Ours above theirs. */
  readonly percent: number;
  /** Standard error of that, over the windows. */
  readonly percentError: number;
}

interface TextWindow {
  readonly ids: Int32Array;
  readonly bosId: number | null;
}

/** The windows of the text from its start, as `cria perplexity` cuts it. */
async function windowsOf(model: string, text: string, numWindows: number): Promise<TextWindow[]> {
  const checkpoint = await openCheckpoint(model);
  const tokenizer = await checkpointTokenizer(checkpoint);
  await checkpoint.close();
  if (tokenizer === null) throw new UsageError(`${model} has no tokenizer; give a file that has one`);
  const { addsBos } = tokenizer.roles;
  const ids = Int32Array.from(tokenizer.encode(readFileSync(text, 'utf8'), { bos: addsBos }));
  const count = Math.min(numWindows, Math.floor(ids.length / WINDOW_TOKENS));
  if (count < 1) throw new UsageError(`${text} is shorter than a window of ${WINDOW_TOKENS} tokens; give a longer one`);
  return Array.from({ length: count }, (_, i) => ({
    ids: ids.subarray(i * WINDOW_TOKENS, (i + 1) * WINDOW_TOKENS),
    bosId: addsBos ? tokenizer.bosId : null,
  }));
}

/** Mean negative log-likelihood of each window, in nats a token. */
async function windowLosses(path: string, windows: readonly TextWindow[]): Promise<number[]> {
  const checkpoint = await openCheckpoint(path);
  const options = { weightType: 'f32', kvType: null, contextLength: WINDOW_TOKENS, batch: 1 } as const;
  const model = await loadModel(checkpoint, createNativeBackend({ threads: THREADS }), options);
  await checkpoint.close();
  const runner = new ModelRunner(model);
  const losses: number[] = [];
  for (const { ids, bosId } of windows) {
    losses.push((await measurePerplexity(runner, ids, { windowTokens: WINDOW_TOKENS, bosId, maxWindows: 1 })).nll);
  }
  runner.dispose();
  return losses;
}

/** Makes both files of a type where they are not there yet. */
async function makeFiles(f32: string, folder: string, type: string): Promise<{ ours: string; theirs: string }> {
  const [ours, theirs] = [join(folder, `cria-${type}.gguf`), join(folder, `llama-${type}.gguf`)];
  if (!existsSync(ours)) {
    const checkpoint = await openCheckpoint(f32);
    await convertCheckpoint(checkpoint, ours, { to: 'gguf', type });
    await checkpoint.close();
  }
  if (!existsSync(theirs)) {
    execFileSync(peersPython(), [peerScript('llama_quantize.py'), f32, theirs, type], { stdio: 'ignore' });
  }
  return { ours, theirs };
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Percent by which perplexity is higher, and its standard error to first order. */
function compare(type: string, ours: readonly number[], theirs: readonly number[]): Result {
  const differences = ours.map((loss, i) => loss - theirs[i]!);
  const middle = mean(differences);
  const variance =
    differences.reduce((sum, value) => sum + (value - middle) ** 2, 0) / Math.max(1, differences.length - 1);
  return {
    type,
    ours: Math.exp(mean(ours)),
    theirs: Math.exp(mean(theirs)),
    percent: 100 * Math.expm1(middle),
    percentError: 100 * Math.sqrt(variance / differences.length),
  };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    types: { type: 'string', default: 'q4_k_m,q5_k_m,q6_k' },
    windows: { type: 'string', default: '20' },
    folder: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const [f32, text] = positionals;
if (f32 === undefined || text === undefined) throw new UsageError('give a GGUF file in float32 and a text');
const numWindows = Number(values.windows);
if (!Number.isInteger(numWindows) || numWindows < 1) throw new UsageError('--windows must be a whole number from 1');
const folder = values.folder ?? (await mkdtemp(join(tmpdir(), 'cria-quantised-')));
await mkdir(folder, { recursive: true });
const windows = await windowsOf(f32, text, numWindows);
const exact = Math.exp(mean(await windowLosses(f32, windows)));
const results: Result[] = [];
for (const type of values.types.split(',')) {
  const { ours, theirs } = await makeFiles(f32, folder, type);
  results.push(compare(type, await windowLosses(ours, windows), await windowLosses(theirs, windows)));
}
if (values.folder === undefined) await rm(folder, { recursive: true });
report(values.json, { exact, windows: windows.length, results }, () => [
  `perplexity of ${windows.length} windows, float32 weights ${exact.toFixed(4)}`,
  ...results.map(({ type, ours, theirs, percent, percentError }) => {
    const apart = `ours ${percent.toFixed(3)} % above, standard error ${percentError.toFixed(3)} %`;
    return `${type}: ours ${ours.toFixed(4)}, llama.cpp's ${theirs.toFixed(4)}, ${apart}`;
  }),
]);
