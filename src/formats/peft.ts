/**
 * Opening a LoRA adapter as PEFT saves it: adapter_config.json with adapter_model.safetensors (or .bin).
 * Knows which weight each tensor changes and by how much, not how to change it.
 * Source: huggingface/peft tuners/lora/config.py, tuners/lora/layer.py, utils/save_and_load.py.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { FormatError } from '../util/errors.ts';
import { checkSchema, readBoundedJsonFile } from './bounded-json.ts';
import { openSafetensors } from './safetensors.ts';
import { quoted, tensorInfo, type TensorSource } from './tensor-source.ts';
import { openTorchFile } from './torch-file.ts';
import { metaWeightName } from './weight-names.ts';

/** Names of the adapter's tensors that change one weight W. Rows are in Hugging Face's order. */
export type AdapterUpdate =
  | {
      /** W + scale B A, with A [rank, in] and B [out, rank]. */
      readonly kind: 'low-rank';
      readonly a: string;
      readonly b: string;
      readonly scale: number;
      /** Of an embedding table, whose change is the transpose: A [rank, vocab] and B [dim, rank]. */
      readonly isTransposed: boolean;
      /** DoRA: the norm that each row of the sum is brought to, [out]; null for plain LoRA. */
      readonly magnitude: string | null;
    }
  | { readonly kind: 'replaced'; readonly by: string };

export interface PeftAdapter {
  readonly path: string;
  /** What the adapter was trained on, as its configuration names it. */
  readonly baseModel: string | null;
  readonly tensors: TensorSource;
  /** By Meta's name of the weight. */
  readonly updates: ReadonlyMap<string, AdapterUpdate>;
  close(): Promise<void>;
}

const CONFIG_FILE = 'adapter_config.json';
const CONFIG_BOUNDS = { maxDepth: 16, maxItems: 100_000 };
const MAX_CONFIG_BYTES = 2 ** 22;
const PREFIX = 'base_model.model.';

const positive = z.number().positive().finite();
const configSchema = z.looseObject({
  peft_type: z.string(),
  base_model_name_or_path: z.string().nullish(),
  lora_alpha: positive,
  alpha_pattern: z.record(z.string(), positive).nullish(),
  use_rslora: z.boolean().nullish(),
  use_dora: z.boolean().nullish(),
  bias: z.string().nullish(),
  init_lora_weights: z.union([z.boolean(), z.string()]).nullish(),
});
type PeftConfig = z.infer<typeof configSchema>;

// Ways to start that leave the base weights as they are; the others (PiSSA, OLoRA, ...) change them.
const PLAIN_STARTS: ReadonlySet<unknown> = new Set([true, false, undefined, null, 'gaussian', 'eva', 'orthogonal']);
// Settings that mean another sum than the one above.
const UNSUPPORTED = [
  'fan_in_fan_out',
  'lora_bias',
  'use_qalora',
  'use_bdlora',
  'layer_replication',
  'trainable_token_indices',
  'target_parameters',
  'alora_invocation_tokens',
  'arrow_config',
  'kasa_config',
  'monteclora_config',
  'velora_config',
];

/** Opens the folder of an adapter; throws a FormatError that names everything that is not understood. */
export async function openPeftAdapter(folder: string): Promise<PeftAdapter> {
  const configPath = join(folder, CONFIG_FILE);
  if (!(await exists(configPath))) {
    throw new FormatError(`${folder}: has no ${CONFIG_FILE}; give the folder of an adapter that PEFT saved`);
  }
  const config = checkSchema(
    configSchema,
    await readBoundedJsonFile(configPath, CONFIG_BOUNDS, MAX_CONFIG_BYTES),
    configPath,
  );
  checkSupported(config, configPath);
  const tensors = await openTensors(folder);
  try {
    const updates = updatesOf(tensors, config, folder);
    const baseModel = config.base_model_name_or_path || null;
    return { path: folder, baseModel, tensors, updates, close: () => tensors.close() };
  } catch (error) {
    await tensors.close();
    throw error;
  }
}

function checkSupported(config: PeftConfig, where: string): void {
  const faults: string[] = [];
  if (config.peft_type.toUpperCase() !== 'LORA') faults.push(`peft_type ${quoted(config.peft_type)}`);
  if ((config.bias ?? 'none') !== 'none') faults.push(`bias ${quoted(config.bias!)}`);
  if (!PLAIN_STARTS.has(config.init_lora_weights)) {
    faults.push(`init_lora_weights ${quoted(String(config.init_lora_weights))}, which changes the base weights too`);
  }
  for (const key of UNSUPPORTED) if (isSet(config[key])) faults.push(key);
  if (faults.length > 0)
    throw new FormatError(`${where}: only plain LoRA adapters can be read, not ${faults.join(', ')}`);
}

function isSet(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}

async function openTensors(folder: string): Promise<TensorSource> {
  const safetensors = join(folder, 'adapter_model.safetensors');
  if (await exists(safetensors)) return openSafetensors(safetensors);
  const torch = join(folder, 'adapter_model.bin');
  if (await exists(torch)) return openTorchFile(torch);
  throw new FormatError(`${folder}: has no adapter_model.safetensors; copy it beside ${CONFIG_FILE}`);
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

const PARTS = /^(.+?)\.(lora_A\.weight|lora_B\.weight|lora_embedding_A|lora_embedding_B|lora_magnitude_vector|weight)$/;

function updatesOf(tensors: TensorSource, config: PeftConfig, folder: string): Map<string, AdapterUpdate> {
  const updates = new Map<string, AdapterUpdate>();
  const unknown: string[] = [];
  for (const name of tensors.tensors.keys()) {
    const [, module = '', part = ''] = PARTS.exec(name.startsWith(PREFIX) ? name.slice(PREFIX.length) : '') ?? [];
    const weight = metaWeightName(`${module}.weight`, 'hf');
    if (weight === null) unknown.push(quoted(name));
    else if (part === 'weight') updates.set(weight, { kind: 'replaced', by: name });
    else if (part.endsWith('A') || part.endsWith('A.weight')) {
      updates.set(weight, lowRank(tensors, config, { module, a: name, folder }));
    } else if (!tensors.tensors.has(partnerOf(name)))
      unknown.push(`${quoted(name)} without ${quoted(partnerOf(name))}`);
  }
  if (unknown.length > 0) {
    throw new FormatError(
      `${folder}: holds tensors that change nothing in a Llama model: ${unknown.slice(0, 20).join(', ')}`,
    );
  }
  if (updates.size === 0) throw new FormatError(`${folder}: changes no weight; it is no complete adapter`);
  return updates;
}

/** The A of a B, or of a magnitude. */
function partnerOf(name: string): string {
  return name
    .replace(/lora_B\.weight$/, 'lora_A.weight')
    .replace(/lora_embedding_B$/, 'lora_embedding_A')
    .replace(/lora_magnitude_vector$/, 'lora_A.weight');
}

function lowRank(
  tensors: TensorSource,
  config: PeftConfig,
  { module, a, folder }: { module: string; a: string; folder: string },
): AdapterUpdate {
  const isTransposed = a.endsWith('lora_embedding_A');
  const b = a.replace(/A(\.weight)?$/, 'B$1');
  const rank = tensorInfo(tensors, a).shape[0] ?? 0;
  const { shape } = tensorInfo(tensors, b);
  if (tensorInfo(tensors, a).shape.length !== 2 || shape.length !== 2 || shape[1] !== rank || rank === 0) {
    const [left, right] = [tensorInfo(tensors, a).shape, shape];
    throw new FormatError(`${folder}: ${quoted(a)} [${left}] and ${quoted(b)} [${right}] are no pair of one rank`);
  }
  const alpha = alphaOf(module, config, folder);
  const scale = alpha / (config.use_rslora === true ? Math.sqrt(rank) : rank);
  const magnitude = a.replace(/lora_A\.weight$/, 'lora_magnitude_vector');
  if (config.use_dora === true && isTransposed) throw new FormatError(`${folder}: DoRA of embeddings cannot be read`);
  if (config.use_dora === true) tensorInfo(tensors, magnitude);
  return { kind: 'low-rank', a, b, scale, isTransposed, magnitude: config.use_dora === true ? magnitude : null };
}

/** Patterns are names of modules or their ends; whole regular expressions, which PEFT allows, are refused. */
function alphaOf(module: string, { alpha_pattern: patterns, lora_alpha: alpha }: PeftConfig, folder: string): number {
  for (const [pattern, value] of Object.entries(patterns ?? {})) {
    const name = pattern.replace(/^\^/, '').replaceAll('\\.', '.');
    if (!/^[\w.]+$/.test(name)) {
      throw new FormatError(
        `${folder}: alpha_pattern ${quoted(pattern)} is more than the name of a module; spell it out`,
      );
    }
    if (module === name || (!pattern.startsWith('^') && module.endsWith(`.${name}`))) return value;
  }
  return alpha;
}
