/**
 * Opening a GGUF file of a Llama model as a checkpoint. llama.cpp's converter stores wq and wk in Meta's rotary order.
 */
import { FormatError } from '../util/errors.ts';
import { checkWeights } from './check-weights.ts';
import type { Checkpoint } from './checkpoint.ts';
import { openGguf, type GgufSource } from './gguf.ts';
import { llamaConfigFromGguf, ROPE_FACTORS_TENSOR } from './gguf-config.ts';
import type { GgufArray, GgufValue } from './gguf-header.ts';
import type { TokenIds } from './hf-config.ts';
import { renamedSource, type RenamedTensor } from './renamed-source.ts';
import { readTensorF32 } from './tensor-source.ts';
import { metaWeightName, weightName } from './weight-names.ts';

/** A GGUF checkpoint also keeps the typed metadata, to write it back unchanged. */
export interface GgufCheckpoint extends Checkpoint {
  readonly format: 'gguf';
  readonly typedMetadata: ReadonlyMap<string, GgufValue>;
}

const MAX_ROPE_FACTORS_BYTES = 2 ** 16;

/** Opens the file; throws a FormatError or ConfigError that names the file and every tensor that does not fit. */
export async function openGgufCheckpoint(path: string): Promise<GgufCheckpoint> {
  const file = await openGguf(path);
  try {
    const vocabSize = file.tensors.get('token_embd.weight')?.shape[0];
    if (vocabSize === undefined) throw new FormatError(`${path}: has no tensor "token_embd.weight"; it holds no model`);
    const isTied = !file.tensors.has('output.weight');
    const facts = { vocabSize, isTied, ropeFactors: await readRopeFactors(file) };
    const config = llamaConfigFromGguf(file.metadata, facts, path);
    const tensors = new Map<string, RenamedTensor>();
    const unexpected: string[] = [];
    for (const name of file.tensors.keys()) {
      const metaName = metaWeightName(name, 'gguf');
      if (metaName !== null) tensors.set(metaName, { source: file, name, rotary: null });
      else if (name !== ROPE_FACTORS_TENSOR) unexpected.push(name);
    }
    const weights = renamedSource(path, tensors, [file]);
    checkWeights(config, weights.tensors, path, unexpected, (name) => weightName(name, 'gguf') ?? name);
    const metadata = plainMetadata(file.metadata);
    const tokenIds = tokenIdsFromGguf(metadata);
    const typedMetadata = file.metadata;
    return { path, format: 'gguf', config, weights, tokenIds, metadata, typedMetadata, close: () => weights.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function readRopeFactors(file: GgufSource): Promise<Float32Array | null> {
  const info = file.tensors.get(ROPE_FACTORS_TENSOR);
  if (info === undefined) return null;
  if (info.byteLength > MAX_ROPE_FACTORS_BYTES) {
    throw new FormatError(`${file.path}: ${ROPE_FACTORS_TENSOR} has ${info.byteLength} bytes, far too many`);
  }
  return readTensorF32(file, ROPE_FACTORS_TENSOR);
}

/** Metadata as plain values: numbers, texts, booleans, arrays of them; bigint only beyond 2^53. */
export function plainMetadata(
  metadata: ReadonlyMap<string, GgufValue>,
): Record<string, GgufValue['value'] | GgufArray> {
  return Object.fromEntries([...metadata].map(([key, { value }]) => [key, value]));
}

function tokenIdsFromGguf(metadata: Readonly<Record<string, unknown>>): TokenIds {
  const id = (key: string) => {
    const value = metadata[`tokenizer.ggml.${key}_token_id`];
    return typeof value === 'number' ? value : null;
  };
  const ends = [id('eos'), id('eot'), id('eom')].filter((value) => value !== null);
  return { bosId: id('bos'), eosIds: [...new Set(ends)], padId: id('padding') };
}
