/**
 * Whether other programs see in cria's files what cria sees: a GGUF checkpoint goes through every format and type, and
 * llama.cpp and Transformers read the results.
 *
 *   npx tsx bench/checkpoint-peers.ts SOURCE.gguf [--parts trips,transformers,greedy,types] [--types q8_0,q4_k_m,...] [--work FOLDER] [--json]
 *
 * --parts goes on in the FOLDER of an earlier run with what that run did first: all others need trips.
 * Needs the peers (bench/peers/README.md) and, for a model of 135 million parameters, 5 GB of disk.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { report } from './interleave.ts';
import { peerScript, peersPython } from './peers/python.ts';
import { convertCheckpoint, type ConvertFormat } from '../src/formats/convert.ts';
import { checkpointTokenizer } from '../src/formats/convert-tokenizer.ts';
import { openGguf } from '../src/formats/gguf.ts';
import { openCheckpoint } from '../src/formats/open-checkpoint.ts';
import { readTensorBytes } from '../src/formats/tensor-source.ts';
import { UsageError } from '../src/util/errors.ts';

const TYPES = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_1', 'q5_0', 'q5_1', 'q4_k_s', 'q4_k_m', 'q5_k_m', 'q6_k'];
const PROMPTS = [
  'The capital of France is',
  'def fibonacci(n):\n    ',
  'Once upon a time, in a land far away,',
  "It's 1997, and \u00fcber 12345 llamas\u2026",
];
const GREEDY_TOKENS = 48;

interface Greedy {
  readonly prompt: readonly number[];
  readonly ids: readonly number[];
}

interface TypeResult {
  readonly type: string;
  readonly tensors: number;
  /** Compared with the file that llama.cpp's quantiser makes of the same float32 weights. */
  readonly sameTypes: number;
  readonly sameBytes: number;
  /** Prompts of PROMPTS with the same greedy continuation by llama.cpp from either file. */
  readonly sameTexts: number;
}

interface Transformers {
  readonly weights: number;
  readonly weight_difference: number;
  readonly logit_difference: number;
}

interface Results {
  readonly trips: Readonly<Record<string, boolean>>;
  readonly transformers: Transformers | null;
  readonly texts: { readonly samePrompts: number; readonly sameTexts: number } | null;
  readonly types: readonly TypeResult[];
}

async function convert(from: string, to: ConvertFormat, out: string, type: string | null = null): Promise<string> {
  const checkpoint = await openCheckpoint(from);
  try {
    await convertCheckpoint(checkpoint, out, { to, type });
  } finally {
    await checkpoint.close();
  }
  return out;
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

const weightsOf = (folder: string) => sha256(join(folder, 'model.safetensors'));
const pthOf = (folder: string) => sha256(join(folder, 'consolidated.00.pth'));

/** Whether the weights are the same bytes after HF, GGUF, HF and after HF, Meta, HF, Meta. */
async function roundTrips(source: string, work: string, type: string): Promise<Record<string, boolean>> {
  const at = (name: string) => join(work, `${type}-${name}`);
  const hf = await convert(source, 'hf', at('hf'), type);
  const gguf = await convert(hf, 'gguf', at('model.gguf'));
  const viaGguf = await convert(gguf, 'hf', at('hf-gguf-hf'));
  const meta = await convert(hf, 'meta', at('meta'));
  const viaMeta = await convert(meta, 'hf', at('hf-meta-hf'));
  const metaAgain = await convert(viaMeta, 'meta', at('meta-hf-meta'));
  const expected = await weightsOf(hf);
  return {
    [`HF, GGUF, HF in ${type}`]: (await weightsOf(viaGguf)) === expected,
    [`HF, Meta, HF in ${type}`]: (await weightsOf(viaMeta)) === expected,
    [`Meta, HF, Meta in ${type}`]: (await pthOf(metaAgain)) === (await pthOf(meta)),
  };
}

function greedy(path: string): Greedy[] {
  const script = peerScript('llama-greedy.ts');
  const args = ['--import', 'tsx', script, path, String(GREEDY_TOKENS), ...PROMPTS];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as Greedy[];
}

/** Greedy continuations by cria in float32. */
function ownGreedy(path: string): number[][] {
  return PROMPTS.map((prompt) => {
    const cria = [join(import.meta.dirname, '../bin/cria.mjs'), 'generate', '--model', path, '--prompt', prompt];
    const args = ['--max-tokens', String(GREEDY_TOKENS), '--temperature', '0', '--precision', 'f32', '--json'];
    return (JSON.parse(execFileSync(process.execPath, [...cria, ...args], { encoding: 'utf8' })) as { ids: number[] })
      .ids;
  });
}

function numEqual(ours: readonly (readonly number[])[], theirs: readonly (readonly number[])[]): number {
  return ours.filter((ids, i) => ids.join() === theirs[i]!.join()).length;
}

/** One type: our file beside llama.cpp's, both made from the same float32 file. */
async function compareType(f32: string, work: string, type: string): Promise<TypeResult> {
  const ours = await convert(f32, 'gguf', join(work, `cria-${type}.gguf`), type);
  const theirs = join(work, `llama-${type}.gguf`);
  execFileSync(peersPython(), [peerScript('llama_quantize.py'), f32, theirs, type], { stdio: 'ignore' });
  const [a, b] = [await openGguf(ours), await openGguf(theirs)];
  let [sameTypes, sameBytes] = [0, 0];
  for (const [name, { dtype }] of b.tensors) {
    if (a.tensors.get(name)?.dtype !== dtype) continue;
    sameTypes++;
    if (Buffer.compare(await readTensorBytes(a, name), await readTensorBytes(b, name)) === 0) sameBytes++;
  }
  const tensors = b.tensors.size;
  await Promise.all([a.close(), b.close()]);
  const text = greedy(ours).map(({ ids }) => ids);
  // Beside the same tensors only the header could make a difference, and it is the same for all types.
  const expected = sameBytes === tensors && type !== 'f32' ? text : greedy(theirs).map(({ ids }) => ids);
  await rm(theirs);
  if (type !== 'f32') await rm(ours);
  return { type, tensors, sameTypes, sameBytes, sameTexts: numEqual(text, expected) };
}

/** What Transformers says of our folder beside the GGUF file that the folder was made from. */
function compareTransformers(source: string, work: string): Transformers {
  const args = [peerScript('compare_logits.py'), join(work, 'f32-hf'), source];
  const out = execFileSync(peersPython(), args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return JSON.parse(out) as Transformers;
}

/** On how many prompts llama.cpp and cria agree about our float32 file: on the tokens, and on the greedy text. */
async function compareGreedy(f32: string): Promise<{ samePrompts: number; sameTexts: number }> {
  const checkpoint = await openCheckpoint(f32);
  const tokenizer = await checkpointTokenizer(checkpoint);
  await checkpoint.close();
  const theirs = greedy(f32);
  const prompts = theirs.map(({ prompt }) => prompt);
  const ids = theirs.map((one) => one.ids);
  return {
    samePrompts: numEqual(
      PROMPTS.map((text) => tokenizer!.encode(text)),
      prompts,
    ),
    sameTexts: numEqual(ownGreedy(f32), ids),
  };
}

function render({ trips, transformers, texts, types }: Results): string[] {
  const lines = Object.entries(trips).map(([trip, isSame]) => `${trip}: ${isSame ? 'the same bytes' : 'OTHER BYTES'}`);
  if (transformers !== null) {
    const { weights, weight_difference: inWeights, logit_difference: inLogits } = transformers;
    lines.push(`Transformers, our folder against the GGUF file: ${weights} weights, largest difference ${inWeights}`);
    lines.push(`  of logits: ${inLogits}`);
  }
  if (texts !== null) {
    const of = `of ${PROMPTS.length} prompts`;
    lines.push(
      `llama.cpp and cria, our f32 file: same tokens for ${texts.samePrompts} ${of}, same text for ${texts.sameTexts}`,
    );
  }
  for (const { type, tensors, sameTypes, sameBytes, sameTexts } of types) {
    const text = `same greedy text for ${sameTexts} of ${PROMPTS.length} prompts`;
    lines.push(`${type}: of ${tensors} tensors ${sameTypes} have llama.cpp's type, ${sameBytes} its bytes; ${text}`);
  }
  return lines;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    parts: { type: 'string', default: 'trips,transformers,greedy,types' },
    types: { type: 'string', default: TYPES.join(',') },
    work: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
if (positionals.length !== 1) throw new UsageError('give one GGUF file');
const source = resolve(positionals[0]!);
const work = values.work ?? (await mkdtemp(join(tmpdir(), 'cria-peers-')));
const parts = new Set(values.parts.split(','));
const f32 = join(work, 'f32-model.gguf');
const trips = parts.has('trips')
  ? { ...(await roundTrips(source, work, 'f32')), ...(await roundTrips(source, work, 'bf16')) }
  : {};
const transformers = parts.has('transformers') ? compareTransformers(source, work) : null;
const texts = parts.has('greedy') ? await compareGreedy(f32) : null;
const types: TypeResult[] = [];
if (parts.has('types')) for (const type of values.types.split(',')) types.push(await compareType(f32, work, type));
if (values.work === undefined) await rm(work, { recursive: true });
const results: Results = { trips, transformers, texts, types };
report(values.json, results, () => render(results));
