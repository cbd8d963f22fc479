/**
 * GGUF metadata of a Llama model, to and from LlamaConfig.
 * Source: ggml docs/gguf.md (keys); llama.cpp src/llama-model.cpp (defaults), convert_hf_to_gguf.py (rope_freqs).
 */
import { checkLlamaConfig, type LlamaConfig, type RopeScaling } from '../model/config.ts';
import { ConfigError } from '../util/errors.ts';
import type { GgufValue } from './gguf-header.ts';
import { quoted } from './tensor-source.ts';

type Metadata = ReadonlyMap<string, GgufValue>;

/** What the tensors say that metadata leaves open. */
export interface GgufWeightFacts {
  readonly vocabSize: number;
  readonly isTied: boolean;
  /** `rope_freqs.weight`: what each rotary frequency is divided by; null if absent. */
  readonly ropeFactors: Float32Array | null;
}

/** The tensor that holds the frequency factors of llama3 rope scaling. */
export const ROPE_FACTORS_TENSOR = 'rope_freqs.weight';

/** The model a GGUF file describes; throws a ConfigError that names the file and the key. */
export function llamaConfigFromGguf(metadata: Metadata, facts: GgufWeightFacts, where: string): LlamaConfig {
  const architecture = metadata.get('general.architecture')?.value;
  if (architecture !== 'llama') {
    const found = typeof architecture === 'string' ? quoted(architecture) : 'none';
    throw new ConfigError(`${where}: general.architecture is ${found}, only "llama" is supported`);
  }
  const dim = required(metadata, 'llama.embedding_length', where);
  const numHeads = required(metadata, 'llama.attention.head_count', where);
  const headDim = optional(metadata, 'llama.attention.key_length', where) ?? dim / numHeads;
  const ropeTheta = optional(metadata, 'llama.rope.freq_base', where) ?? 10_000;
  checkSupported(metadata, headDim, where);
  const config: LlamaConfig = {
    dim,
    numLayers: required(metadata, 'llama.block_count', where),
    numHeads,
    numKvHeads: optional(metadata, 'llama.attention.head_count_kv', where) ?? numHeads,
    headDim,
    ffnDim: required(metadata, 'llama.feed_forward_length', where),
    vocabSize: facts.vocabSize,
    normEps: withoutFloatNoise(required(metadata, 'llama.attention.layer_norm_rms_epsilon', where)),
    ropeTheta: withoutFloatNoise(ropeTheta),
    ropeScaling: null,
    maxSeqLen: required(metadata, 'llama.context_length', where),
    tiedEmbeddings: facts.isTied,
  };
  checkLlamaConfig(config, where);
  if (facts.ropeFactors === null) return config;
  const scaling = ropeScalingFromFactors(facts.ropeFactors, config, metadata, where);
  return checkLlamaConfig({ ...config, ropeScaling: scaling }, where);
}

function checkSupported(metadata: Metadata, headDim: number, where: string): void {
  const rotated = optional(metadata, 'llama.rope.dimension_count', where) ?? headDim;
  const valueLength = optional(metadata, 'llama.attention.value_length', where) ?? headDim;
  if (rotated !== headDim || valueLength !== headDim) {
    throw new ConfigError(
      `${where}: heads of ${headDim} values with ${rotated} rotated and ${valueLength} read are not supported`,
    );
  }
  if ((optional(metadata, 'llama.expert_count', where) ?? 0) > 0) {
    throw new ConfigError(`${where}: mixture-of-experts models are not supported`);
  }
  const type = metadata.get('llama.rope.scaling.type')?.value ?? 'none';
  const factor =
    optional(metadata, 'llama.rope.scaling.factor', where) ?? optional(metadata, 'llama.rope.scale_linear', where);
  if ((type !== 'none' && factor !== 1) || (factor ?? 1) !== 1) {
    throw new ConfigError(
      `${where}: rope scaling ${quoted(String(type))} by ${factor} is not supported, only "llama3" is`,
    );
  }
}

/** A number, or the one value of an array with an entry per layer; undefined if the key is absent. */
function optional(metadata: Metadata, key: string, where: string): number | undefined {
  const entry = metadata.get(key);
  if (entry === undefined) return undefined;
  const values = entry.type === 'array' ? entry.value : [entry.value];
  const [first] = values;
  if (typeof first !== 'number' || values.some((value) => value !== first)) {
    throw new ConfigError(`${where}: ${key} must be one number, the same for all layers`);
  }
  return first;
}

function required(metadata: Metadata, key: string, where: string): number {
  const value = optional(metadata, key, where);
  if (value === undefined) throw new ConfigError(`${where}: metadata key ${key} is missing`);
  return value;
}

/** GGUF keeps 1e-5 as a float32; the shortest decimal with that float32 is what was meant. */
function withoutFloatNoise(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}

/** What llama3 scaling divides the frequency of each rotary pair by (llama-models model.py `apply_scaling`). */
export function ropeFactors(scaling: RopeScaling, ropeTheta: number, headDim: number): Float32Array {
  return Float32Array.from({ length: headDim / 2 }, (_, pair) => {
    const wavelength = wavelengthOf(pair, ropeTheta, headDim);
    const { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPosition: original } = scaling;
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

function wavelengthOf(pair: number, ropeTheta: number, headDim: number): number {
  return 2 * Math.PI * ropeTheta ** ((2 * pair) / headDim);
}

// Our writer states the scaling itself; the factors alone are what other programs leave.
const SCALING_KEYS = {
  factor: 'cria.rope_scaling.factor',
  lowFreqFactor: 'cria.rope_scaling.low_freq_factor',
  highFreqFactor: 'cria.rope_scaling.high_freq_factor',
  originalMaxPosition: 'cria.rope_scaling.original_max_position',
} as const;

const FACTOR_TOLERANCE = 1e-4; // relative; converters computed frequencies in float32

function ropeScalingFromFactors(
  factors: Float32Array,
  config: LlamaConfig,
  metadata: Metadata,
  where: string,
): RopeScaling | null {
  if (factors.length !== config.headDim / 2) {
    throw new ConfigError(
      `${where}: ${ROPE_FACTORS_TENSOR} has ${factors.length} values, expected ${config.headDim / 2}`,
    );
  }
  if (factors.every((factor) => factor === 1)) return null;
  const largest = factors.reduce((a, b) => Math.max(a, b), 0);
  const candidates = [
    statedScaling(metadata, where),
    // Every model Meta published differs in the factor alone.
    ...[8, 32, 16, 64, largest].map((factor) => ({
      factor,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPosition: 8192,
    })),
    solvedScaling(factors, largest, config),
  ];
  const found = candidates.find((scaling) => {
    if (scaling === null) return false;
    const expected = ropeFactors(scaling, config.ropeTheta, config.headDim);
    return expected.every((value, i) => Math.abs(value - factors[i]!) <= FACTOR_TOLERANCE * value);
  });
  if (found === undefined || found === null) {
    throw new ConfigError(`${where}: ${ROPE_FACTORS_TENSOR} is no llama3 rope scaling; other kinds are not supported`);
  }
  return found;
}

function statedScaling(metadata: Metadata, where: string): RopeScaling | null {
  const factor = optional(metadata, SCALING_KEYS.factor, where);
  const lowFreqFactor = optional(metadata, SCALING_KEYS.lowFreqFactor, where);
  const highFreqFactor = optional(metadata, SCALING_KEYS.highFreqFactor, where);
  const originalMaxPosition = optional(metadata, SCALING_KEYS.originalMaxPosition, where);
  if (factor === undefined || lowFreqFactor === undefined) return null;
  if (highFreqFactor === undefined || originalMaxPosition === undefined) return null;
  return { factor, lowFreqFactor, highFreqFactor, originalMaxPosition };
}

/**
 * The scaling whose blend passes through two of the factors between 1 and the largest; low is set to 1, since only
 * ratios count: 1 / f = 1/F + s (1 - 1/F) and s = (original / wavelength - 1) / (high - 1) is linear in 1 / wavelength.
 */
function solvedScaling(factors: Float32Array, largest: number, config: LlamaConfig): RopeScaling | null {
  const blended = [...factors.keys()].filter((i) => factors[i]! > 1.001 && factors[i]! < largest * 0.999);
  const [first, last] = [blended[0], blended.at(-1)];
  if (first === undefined || last === undefined || first === last) return null;
  const smooth = (i: number) => (1 / factors[i]! - 1 / largest) / (1 - 1 / largest);
  const inverse = (i: number) => 1 / wavelengthOf(i, config.ropeTheta, config.headDim);
  const slope = (smooth(first) - smooth(last)) / (inverse(first) - inverse(last));
  const intercept = smooth(last) - slope * inverse(last);
  const highFreqFactor = 1 - 1 / intercept;
  const originalMaxPosition = slope * (highFreqFactor - 1);
  return {
    factor: withoutFloatNoise(largest),
    lowFreqFactor: 1,
    highFreqFactor: Number(highFreqFactor.toPrecision(4)),
    originalMaxPosition: Math.round(originalMaxPosition),
  };
}

/** The metadata that describes `config` to llama.cpp and, exactly, to us. */
export function ggufConfigMetadata(config: LlamaConfig): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  const uint32 = (key: string, value: number) => metadata.set(key, { type: 'uint32', value });
  const float32 = (key: string, value: number) => metadata.set(key, { type: 'float32', value: Math.fround(value) });
  metadata.set('general.architecture', { type: 'string', value: 'llama' });
  uint32('llama.vocab_size', config.vocabSize);
  uint32('llama.context_length', config.maxSeqLen);
  uint32('llama.embedding_length', config.dim);
  uint32('llama.block_count', config.numLayers);
  uint32('llama.feed_forward_length', config.ffnDim);
  uint32('llama.attention.head_count', config.numHeads);
  uint32('llama.attention.head_count_kv', config.numKvHeads);
  uint32('llama.attention.key_length', config.headDim);
  uint32('llama.attention.value_length', config.headDim);
  uint32('llama.rope.dimension_count', config.headDim);
  float32('llama.attention.layer_norm_rms_epsilon', config.normEps);
  float32('llama.rope.freq_base', config.ropeTheta);
  if (config.ropeScaling !== null) {
    for (const [field, key] of Object.entries(SCALING_KEYS) as [keyof RopeScaling, string][]) {
      metadata.set(key, { type: 'float64', value: config.ropeScaling[field] });
    }
  }
  return metadata;
}
