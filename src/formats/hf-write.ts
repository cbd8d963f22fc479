/**
 * Writing a Hugging Face model folder that transformers, vLLM and llama.cpp's converter load.
 * Weights stream from any checkpoint; tokenizer files are added by the caller through `addFiles`.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { llamaWeightShapes, type LlamaConfig } from '../model/config.ts';
import { writeFolderAtomic } from '../util/atomic-folder.ts';
import { invariant } from '../util/errors.ts';
import { hfConfigJson, hfGenerationConfigJson, type TokenIds } from './hf-config.ts';
import { HF_INDEX_FILE, HF_SINGLE_FILE } from './hf-folder.ts';
import { renamedSource, type RenamedTensor } from './renamed-source.ts';
import { writeSafetensors, type TensorToWrite } from './safetensors-write.ts';
import { isPlainDType, storedBytes, type PlainDType } from './stored-dtype.ts';
import { streamTensor } from './stream-tensor.ts';
import { tensorInfo, type TensorSource } from './tensor-source.ts';
import { weightName } from './weight-names.ts';

/** What a folder is written from; `weights` as in Checkpoint. */
export interface ModelToWrite {
  readonly config: LlamaConfig;
  readonly weights: TensorSource;
  readonly tokenIds: TokenIds;
}

export interface HfWriteOptions {
  /** Type of each weight by Meta's name; must be F32, F16 or BF16. */
  readonly dtypeOf: (name: string) => PlainDType;
  /** Files grow to at most this many bytes of tensors, unless one tensor alone is larger. */
  readonly maxShardBytes?: number;
  /** Puts further files (tokenizer) into the folder before it becomes visible. */
  readonly addFiles?: (folder: string) => Promise<void>;
}

const DEFAULT_SHARD_BYTES = 5e9; // transformers' default, "5GB"
const TORCH_DTYPES: Readonly<Record<string, string>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' };

/** Creates folder `path`, which must be absent or empty; all or nothing. */
export async function writeHfFolder(path: string, model: ModelToWrite, options: HfWriteOptions): Promise<void> {
  const torchDtype = TORCH_DTYPES[options.dtypeOf('tok_embeddings.weight')];
  invariant(torchDtype !== undefined, 'internal: a Hugging Face folder holds F32, F16 or BF16');
  const tensors = tensorsToWrite(model, options.dtypeOf);
  await writeFolderAtomic(path, async (folder) => {
    await writeWeights(folder, tensors, options.maxShardBytes ?? DEFAULT_SHARD_BYTES);
    await writeJson(join(folder, 'generation_config.json'), hfGenerationConfigJson(model.tokenIds));
    await writeJson(join(folder, 'config.json'), hfConfigJson(model.config, model.tokenIds, torchDtype));
    await options.addFiles?.(folder);
  });
}

function tensorsToWrite(model: ModelToWrite, dtypeOf: (name: string) => PlainDType): TensorToWrite[] {
  const { config, weights } = model;
  const renamed = new Map<string, RenamedTensor>();
  const dtypes = new Map<string, PlainDType>();
  for (const name of llamaWeightShapes(config).keys()) {
    const isRotary = name.endsWith('.wq.weight') || name.endsWith('.wk.weight');
    const rotary = isRotary ? { headDim: config.headDim, wanted: 'halves' as const } : null;
    const hfName = weightName(name, 'hf');
    invariant(hfName !== null, `internal: no Hugging Face name for ${name}`);
    renamed.set(hfName, { source: weights, name, rotary });
    const dtype = dtypeOf(name);
    invariant(isPlainDType(dtype), `internal: ${dtype} in a Hugging Face folder`);
    dtypes.set(hfName, dtype);
  }
  const source = renamedSource(weights.path, renamed, []);
  return [...dtypes].map(([name, dtype]) => ({
    name,
    dtype,
    shape: tensorInfo(source, name).shape,
    chunks: () => streamTensor(source, name, dtype),
  }));
}

async function writeWeights(folder: string, tensors: readonly TensorToWrite[], maxShardBytes: number): Promise<void> {
  const shards = splitIntoShards(tensors, maxShardBytes);
  if (shards.length === 1) return writeSafetensors(join(folder, HF_SINGLE_FILE), tensors, { format: 'pt' });
  const weightMap: Record<string, string> = {};
  for (const [index, shard] of shards.entries()) {
    const file = `model-${fiveDigits(index + 1)}-of-${fiveDigits(shards.length)}.safetensors`;
    for (const tensor of shard) weightMap[tensor.name] = file;
    await writeSafetensors(join(folder, file), shard, { format: 'pt' });
  }
  const totalBytes = tensors.reduce((sum, { dtype, shape, name }) => sum + storedBytes(dtype, shape, name), 0);
  await writeJson(join(folder, HF_INDEX_FILE), { metadata: { total_size: totalBytes }, weight_map: weightMap });
}

function fiveDigits(n: number): string {
  return String(n).padStart(5, '0');
}

function splitIntoShards(tensors: readonly TensorToWrite[], maxShardBytes: number): TensorToWrite[][] {
  const shards: TensorToWrite[][] = [[]];
  let shardBytes = 0;
  for (const tensor of tensors) {
    const bytes = storedBytes(tensor.dtype, tensor.shape, tensor.name);
    if (shardBytes > 0 && shardBytes + bytes > maxShardBytes) {
      shards.push([]);
      shardBytes = 0;
    }
    shards.at(-1)!.push(tensor);
    shardBytes += bytes;
  }
  return shards;
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, null, 2)}\n`);
}
