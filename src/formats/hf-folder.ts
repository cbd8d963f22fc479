/**
 * Opening a Hugging Face model folder: config.json beside one model.safetensors or shards with an index.
 * Knows nothing about tokenizer files. Weights come out under Meta's names in Meta's rotary order.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { LlamaConfig } from '../model/config.ts';
import { FormatError } from '../util/errors.ts';
import { checkSchema, readBoundedJsonFile } from './bounded-json.ts';
import { checkWeights } from './check-weights.ts';
import type { Checkpoint } from './checkpoint.ts';
import { llamaConfigFromHf, tokenIdsFromHf, type TokenIds } from './hf-config.ts';
import { renamedSource, type RenamedTensor } from './renamed-source.ts';
import { openSafetensors } from './safetensors.ts';
import { quoted, type TensorSource } from './tensor-source.ts';
import { openTorchFile } from './torch-file.ts';
import { metaWeightName, weightName } from './weight-names.ts';

const CONFIG_BOUNDS = { maxDepth: 32, maxItems: 1_000_000 };
const MAX_CONFIG_BYTES = 2 ** 24;
const INDEX_BOUNDS = { maxDepth: 8, maxItems: 1_000_000 };
const MAX_INDEX_BYTES = 2 ** 26;
const MAX_SHARDS = 1000;

export const HF_SINGLE_FILE = 'model.safetensors';
export const HF_INDEX_FILE = 'model.safetensors.index.json';

const WEIGHT_FILES = [
  { single: HF_SINGLE_FILE, index: HF_INDEX_FILE, open: openSafetensors },
  // Folders from before safetensors, Llama 2's for instance.
  { single: 'pytorch_model.bin', index: 'pytorch_model.bin.index.json', open: openTorchFile },
] as const;

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/** Opens the folder; throws a FormatError or ConfigError that names the file and every tensor that does not fit. */
export async function openHfFolder(folder: string): Promise<Checkpoint> {
  const configPath = join(folder, 'config.json');
  const metadata = (await readBoundedJsonFile(configPath, CONFIG_BOUNDS, MAX_CONFIG_BYTES)) as Record<string, unknown>;
  const config = llamaConfigFromHf(metadata, configPath);
  const tokenIds = await readTokenIds(folder, metadata, configPath);
  const stored = await openHfWeights(folder);
  try {
    const weights = metaView(folder, config, stored);
    return { path: folder, format: 'hf', config, weights, tokenIds, metadata, close: () => weights.close() };
  } catch (error) {
    await stored.close();
    throw error;
  }
}

async function readTokenIds(folder: string, config: unknown, configPath: string): Promise<TokenIds> {
  const path = join(folder, 'generation_config.json');
  const fallback = tokenIdsFromHf(config, configPath);
  if (!(await exists(path))) return fallback;
  const ids = tokenIdsFromHf(await readBoundedJsonFile(path, CONFIG_BOUNDS, MAX_CONFIG_BYTES), path);
  return {
    bosId: ids.bosId ?? fallback.bosId,
    eosIds: ids.eosIds.length > 0 ? ids.eosIds : fallback.eosIds,
    padId: ids.padId ?? fallback.padId,
  };
}

/** The tensors of a folder as they are stored, from one file or all shards of its index. */
export async function openHfWeights(folder: string): Promise<TensorSource> {
  for (const { single, index, open } of WEIGHT_FILES) {
    if (await exists(join(folder, index))) return openShards(folder, join(folder, index), open);
    if (await exists(join(folder, single))) return open(join(folder, single));
  }
  throw new FormatError(
    `${folder}: has neither ${HF_SINGLE_FILE} nor ${HF_INDEX_FILE}; put the weights beside config.json`,
  );
}

async function openShards(
  folder: string,
  indexPath: string,
  open: (path: string) => Promise<TensorSource>,
): Promise<TensorSource> {
  const index = checkSchema(
    indexSchema,
    await readBoundedJsonFile(indexPath, INDEX_BOUNDS, MAX_INDEX_BYTES),
    indexPath,
  );
  const fileNames = [...new Set(Object.values(index.weight_map))];
  if (fileNames.length > MAX_SHARDS) throw new FormatError(`${indexPath}: names ${fileNames.length} files`);
  for (const name of fileNames) {
    // A shard is a plain file name: an index from the hub must not reach other folders.
    if (!/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name)) {
      throw new FormatError(`${indexPath}: ${quoted(name)} is not a plain file name`);
    }
  }
  const shards = new Map<string, TensorSource>();
  try {
    for (const name of fileNames) shards.set(name, await open(join(folder, name)));
    const tensors = new Map<string, RenamedTensor>();
    const absent: string[] = [];
    for (const [name, file] of Object.entries(index.weight_map)) {
      const source = shards.get(file)!;
      if (source.tensors.has(name)) tensors.set(name, { source, name, rotary: null });
      else absent.push(`${quoted(name)} in ${file}`);
    }
    if (absent.length > 0) {
      throw new FormatError(`${indexPath}: names tensors that are not there: ${absent.slice(0, 200).join(', ')}`);
    }
    return renamedSource(folder, tensors, [...shards.values()]);
  } catch (error) {
    await Promise.all([...shards.values()].map((shard) => shard.close()));
    throw error;
  }
}

function metaView(folder: string, config: LlamaConfig, stored: TensorSource): TensorSource {
  const tensors = new Map<string, RenamedTensor>();
  const unexpected: string[] = [];
  for (const name of stored.tensors.keys()) {
    const metaName = metaWeightName(name, 'hf');
    if (metaName === null) {
      // Old checkpoints carry the rotary frequencies, which follow from the configuration.
      if (!name.endsWith('.rotary_emb.inv_freq')) unexpected.push(name);
    } else if (metaName !== 'output.weight' || !config.tiedEmbeddings) {
      const isRotary = metaName.endsWith('.wq.weight') || metaName.endsWith('.wk.weight');
      const rotary = isRotary ? { headDim: config.headDim, wanted: 'interleaved' as const } : null;
      tensors.set(metaName, { source: stored, name, rotary });
    }
  }
  const view = renamedSource(folder, tensors, [stored]);
  checkWeights(config, view.tensors, folder, unexpected, (name) => weightName(name, 'hf') ?? name);
  return view;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
