/**
 * Opening a folder with params.json: Meta's consolidated.NN.pth shards, joined, or our own model.safetensors.
 * Both hold Meta's names in Meta's rotary order. Split axes: meta-llama/llama3 llama/model.py (Column/RowParallelLinear).
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { LlamaConfig } from '../model/config.ts';
import { FormatError } from '../util/errors.ts';
import { checkSchema, readBoundedJsonFile } from './bounded-json.ts';
import { checkWeights } from './check-weights.ts';
import type { Checkpoint } from './checkpoint.ts';
import { joinedSource, type JoinKind } from './joined-source.ts';
import { llamaConfigFromMeta } from './meta-params.ts';
import { renamedSource, type RenamedTensor } from './renamed-source.ts';
import { openSafetensors } from './safetensors.ts';
import { rowLayout, type TensorSource } from './tensor-source.ts';
import { openTorchFile } from './torch-file.ts';
import { metaWeightName } from './weight-names.ts';

const PARAMS_BOUNDS = { maxDepth: 16, maxItems: 10_000 };
const MAX_PARAMS_BYTES = 2 ** 20;
const MAX_SHARDS = 16; // the 405B checkpoint's larger split

export const META_PARAMS_FILE = 'params.json';
export const CRIA_WEIGHTS_FILE = 'model.safetensors';

const JOIN_KINDS: Readonly<Record<string, JoinKind>> = {
  wq: 'rows',
  wk: 'rows',
  wv: 'rows',
  w1: 'rows',
  w3: 'rows',
  output: 'rows',
  wo: 'columns',
  w2: 'columns',
};

/** Opens the folder; throws a FormatError or ConfigError that names the file and every tensor that does not fit. */
export async function openMetaFolder(folder: string): Promise<Checkpoint> {
  const paramsPath = join(folder, META_PARAMS_FILE);
  const params = await readBoundedJsonFile(paramsPath, PARAMS_BOUNDS, MAX_PARAMS_BYTES);
  const metadata = checkSchema(z.record(z.string(), z.unknown()), params, paramsPath);
  const files = (await readdir(folder)).filter((name) => /^consolidated\.\d\d\.pth$/.test(name)).toSorted();
  const format = files.length > 0 ? 'meta' : 'cria';
  const stored = await (format === 'meta'
    ? openShards(folder, files, metadata.dim)
    : openSafetensors(join(folder, CRIA_WEIGHTS_FILE)));
  try {
    const vocabSize = stored.tensors.get('tok_embeddings.weight')?.shape[0] ?? null;
    const facts = { vocabSize, isTied: await isTied(stored) };
    const config = llamaConfigFromMeta(metadata, facts, paramsPath);
    const weights = modelView(folder, config, stored);
    const tokenIds = { bosId: null, eosIds: [], padId: null };
    return { path: folder, format, config, weights, tokenIds, metadata, close: () => weights.close() };
  } catch (error) {
    await stored.close();
    throw error;
  }
}

async function openShards(folder: string, files: readonly string[], dim: unknown): Promise<TensorSource> {
  if (files.length > MAX_SHARDS)
    throw new FormatError(`${folder}: has ${files.length} shards, at most ${MAX_SHARDS} are read`);
  const missing = files.findIndex((name, i) => Number(name.slice('consolidated.'.length, -'.pth'.length)) !== i);
  if (missing >= 0)
    throw new FormatError(`${folder}: shard consolidated.${String(missing).padStart(2, '0')}.pth is missing`);
  const shards: TensorSource[] = [];
  try {
    for (const name of files) shards.push(await openTorchFile(join(folder, name)));
    return joinedSource(folder, shards, (name) => joinKind(name, shards[0]!, dim));
  } catch (error) {
    await Promise.all(shards.map((shard) => shard.close()));
    throw error;
  }
}

/** Llama 3 splits the embedding table by vocabulary, Llama 1 and 2 by dimension: its shape tells. */
function joinKind(name: string, shard: TensorSource, dim: unknown): JoinKind {
  const stem = name.split('.').at(-2) ?? '';
  if (stem === 'tok_embeddings') return shard.tensors.get(name)?.shape[1] === dim ? 'rows' : 'columns';
  return JOIN_KINDS[stem] ?? 'copies';
}

function modelView(folder: string, config: LlamaConfig, stored: TensorSource): TensorSource {
  const tensors = new Map<string, RenamedTensor>();
  const unexpected: string[] = [];
  for (const name of stored.tensors.keys()) {
    if (metaWeightName(name, 'meta') !== null) {
      if (name !== 'output.weight' || !config.tiedEmbeddings) tensors.set(name, { source: stored, name, rotary: null });
    } else if (name !== 'rope.freqs') unexpected.push(name);
  }
  const view = renamedSource(folder, tensors, [stored]);
  checkWeights(config, view.tensors, folder, unexpected);
  return view;
}

const COMPARE_BYTES = 2 ** 20;

/** Meta's files always hold an output matrix; that of the small 3.2 models is the embedding table, bit for bit. */
async function isTied(source: TensorSource): Promise<boolean> {
  const output = source.tensors.get('output.weight');
  const embedding = source.tensors.get('tok_embeddings.weight');
  if (output === undefined || embedding === undefined) return false;
  if (output.dtype !== embedding.dtype || String(output.shape) !== String(embedding.shape)) return false;
  if (output.location !== null && output.location.byteOffset === embedding.location?.byteOffset) return true;
  const { numRows, rowBytes } = rowLayout(output);
  const rowsAtOnce = Math.max(1, Math.floor(COMPARE_BYTES / Math.max(1, rowBytes)));
  for (let row = 0; row < numRows; row += rowsAtOnce) {
    const length = Math.min(rowsAtOnce, numRows - row) * rowBytes;
    const [a, b] = [new Uint8Array(length), new Uint8Array(length)];
    await source.readRows('output.weight', row, a);
    await source.readRows('tok_embeddings.weight', row, b);
    if (Buffer.compare(a, b) !== 0) return false; // nearly always in the first chunk
  }
  return true;
}
