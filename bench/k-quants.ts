/**
 * Quality of our K-quants beside llama.cpp's quantiser: every matrix of a model but the embedding table is rounded by either, and the
 * perplexity of the rounded weights is measured by cria in float32. Blocks run over the ends of rows: all matrices take part.
 *
 *   npx tsx bench/k-quants.ts HF_FOLDER TEXT_FILE [--types Q4_K,Q5_K,Q6_K] [--windows 20] [--json]
 */
import { execFileSync } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { report } from './interleave.ts';
import { peerScript, peersPython } from './peers/python.ts';
import { decodeToF32 } from '../src/formats/decode-f32.ts';
import { encodePool } from '../src/formats/encode-pool.ts';
import { openSafetensors } from '../src/formats/safetensors.ts';
import { type TensorToWrite, writeSafetensors } from '../src/formats/safetensors-write.ts';
import { STORED_DTYPES } from '../src/formats/stored-dtype.ts';
import { readTensorF32 } from '../src/formats/tensor-source.ts';
import { UsageError } from '../src/util/errors.ts';

const WEIGHTS_FILE = 'model.safetensors';
const KINDS = ['Q4_K', 'Q5_K', 'Q6_K'] as const;
type Kind = (typeof KINDS)[number];

interface Result {
  readonly kind: Kind;
  readonly ours: number;
  readonly theirs: number;
}

/** What peers/k_quant_weights.py does, with our quantiser. */
async function roundWeights(from: string, to: string, kind: Kind): Promise<void> {
  const { blockSize, blockBytes } = STORED_DTYPES[kind];
  const source = await openSafetensors(from);
  const pool = encodePool();
  const tensors = [...source.tensors].map(([name, { shape }]): TensorToWrite => {
    const chunks = async function* (): AsyncGenerator<Uint8Array> {
      const values = await readTensorF32(source, name);
      if (shape.length === 2 && values.length % blockSize === 0 && !name.includes('embed')) {
        const bytes = new Uint8Array((values.length / blockSize) * blockBytes);
        await pool.encode(kind, values, bytes);
        decodeToF32(kind, bytes, values);
      }
      yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    };
    return { name, dtype: 'F32', shape, chunks };
  });
  await writeSafetensors(to, tensors, { format: 'pt' });
  await Promise.all([pool.close(), source.close()]);
}

function perplexity(folder: string, text: string, windows: string): number {
  const cria = [join(import.meta.dirname, '../bin/cria.mjs'), 'perplexity', '--model', folder, '--file', text];
  const args = [...cria, '--windows', windows, '--precision', 'f32', '--json'];
  const out = execFileSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return (JSON.parse(out) as { perplexity: number }).perplexity;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    types: { type: 'string', default: KINDS.join(',') },
    windows: { type: 'string', default: '20' },
    json: { type: 'boolean', default: false },
  },
});
const [model, text] = positionals;
if (model === undefined || text === undefined) throw new UsageError('give a Hugging Face folder in float32 and a text');
const exact = perplexity(model, text, values.windows);
const work = await mkdtemp(join(tmpdir(), 'cria-k-quants-'));
await cp(model, work, { recursive: true });
const weights = join(work, WEIGHTS_FILE);
const results: Result[] = [];
for (const kind of KINDS.filter((name) => values.types.split(',').includes(name))) {
  await roundWeights(join(model, WEIGHTS_FILE), weights, kind);
  const ours = perplexity(work, text, values.windows);
  const python = [peerScript('k_quant_weights.py'), join(model, WEIGHTS_FILE), weights, kind];
  execFileSync(peersPython(), python, { stdio: ['ignore', 'ignore', 'inherit'] });
  results.push({ kind, ours, theirs: perplexity(work, text, values.windows) });
}
await rm(work, { recursive: true });
report(values.json, { exact, results }, () => [
  `perplexity of the float32 weights ${exact.toFixed(4)}`,
  ...results.map(({ kind, ours, theirs }) => {
    const percent = (100 * (ours / theirs - 1)).toFixed(3);
    return `${kind}: ours ${ours.toFixed(4)}, llama.cpp's ${theirs.toFixed(4)}, ours ${percent} % above`;
  }),
]);
