/**
 * The numbers that define one Llama model, checked, and the name and shape of every weight that follows from them.
 * Knows nothing about files: `formats/` translates params.json, config.json and GGUF metadata into this.
 * Sources: meta-llama/llama3 llama/model.py (ModelArgs, FeedForward); llama-models llama3/args.py (rope scaling).
 */
import { ConfigError } from '../util/errors.ts';

/** Llama 3.1 frequency scaling (`apply_scaling`): stretches wavelengths beyond what the model was first trained on. */
export interface RopeScaling {
  readonly factor: number;
  readonly lowFreqFactor: number;
  readonly highFreqFactor: number;
  readonly originalMaxPosition: number;
}

export interface LlamaConfig {
  readonly dim: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  /** Values per head; `dim / numHeads` in every model Meta published. */
  readonly headDim: number;
  /** Hidden size of the feed-forward block, after rounding. */
  readonly ffnDim: number;
  readonly vocabSize: number;
  readonly normEps: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling | null;
  /** Longest context the model was trained for, in tokens. */
  readonly maxSeqLen: number;
  /** The output projection is the embedding table; there is no `output.weight`. */
  readonly tiedEmbeddings: boolean;
}

/** Feed-forward hidden size as Meta derives it: two thirds of 4 * dim, times the multiplier, rounded up. */
export function ffnDim(dim: number, multipleOf: number, ffnDimMultiplier: number | null): number {
  let hidden = Math.trunc((2 * 4 * dim) / 3);
  if (ffnDimMultiplier !== null) hidden = Math.trunc(ffnDimMultiplier * hidden);
  return multipleOf * Math.ceil(hidden / multipleOf);
}

const POSITIVE_INTEGERS = [
  'dim',
  'numLayers',
  'numHeads',
  'numKvHeads',
  'headDim',
  'ffnDim',
  'vocabSize',
  'maxSeqLen',
] as const;

// Far above 405B; keeps every product of two sizes an exact integer and stops absurd allocations early.
const MAX_SIZE = 2 ** 24;
const MAX_LAYERS = 4096;

/** Returns the config unchanged; throws a ConfigError that lists every impossible value. `where` names its origin. */
export function checkLlamaConfig(config: LlamaConfig, where: string): LlamaConfig {
  const problems: string[] = [];
  for (const key of POSITIVE_INTEGERS) {
    const value = config[key];
    const limit = key === 'numLayers' ? MAX_LAYERS : key === 'maxSeqLen' ? 2 ** 31 : MAX_SIZE;
    if (!Number.isInteger(value) || value < 1 || value > limit) {
      problems.push(`${key} must be an integer from 1 to ${limit}, got ${value}`);
    }
  }
  if (problems.length === 0) {
    if (config.numHeads % config.numKvHeads !== 0) {
      problems.push(`numHeads (${config.numHeads}) must be a multiple of numKvHeads (${config.numKvHeads})`);
    }
    if (config.headDim % 2 !== 0) problems.push(`headDim must be even for rotary positions, got ${config.headDim}`);
  }
  if (!(config.normEps >= 0 && config.normEps < 1)) problems.push(`normEps must be in [0, 1), got ${config.normEps}`);
  if (!(config.ropeTheta > 0 && Number.isFinite(config.ropeTheta))) {
    problems.push(`ropeTheta must be positive, got ${config.ropeTheta}`);
  }
  if (config.ropeScaling !== null) problems.push(...ropeScalingProblems(config.ropeScaling));
  if (problems.length > 0) throw new ConfigError(`${where}: ${problems.join('; ')}`);
  return config;
}

function ropeScalingProblems(scaling: RopeScaling): string[] {
  const problems: string[] = [];
  for (const [key, value] of Object.entries(scaling) as [string, number][]) {
    if (!(value > 0 && Number.isFinite(value))) problems.push(`ropeScaling.${key} must be positive, got ${value}`);
  }
  if (!(scaling.highFreqFactor > scaling.lowFreqFactor)) {
    problems.push('ropeScaling.highFreqFactor must be above ropeScaling.lowFreqFactor');
  }
  return problems;
}

/** Meta's name and shape (rows = outputs) of every weight, in the order of Meta's checkpoints, layer by layer. */
export function llamaWeightShapes(config: LlamaConfig): Map<string, readonly number[]> {
  const { dim, ffnDim: hidden, vocabSize } = config;
  const qDim = config.numHeads * config.headDim;
  const kvDim = config.numKvHeads * config.headDim;
  const shapes = new Map<string, readonly number[]>([['tok_embeddings.weight', [vocabSize, dim]]]);
  for (let layer = 0; layer < config.numLayers; layer++) {
    const prefix = `layers.${layer}`;
    shapes.set(`${prefix}.attention.wq.weight`, [qDim, dim]);
    shapes.set(`${prefix}.attention.wk.weight`, [kvDim, dim]);
    shapes.set(`${prefix}.attention.wv.weight`, [kvDim, dim]);
    shapes.set(`${prefix}.attention.wo.weight`, [dim, qDim]);
    shapes.set(`${prefix}.feed_forward.w1.weight`, [hidden, dim]);
    shapes.set(`${prefix}.feed_forward.w2.weight`, [dim, hidden]);
    shapes.set(`${prefix}.feed_forward.w3.weight`, [hidden, dim]);
    shapes.set(`${prefix}.attention_norm.weight`, [dim]);
    shapes.set(`${prefix}.ffn_norm.weight`, [dim]);
  }
  shapes.set('norm.weight', [dim]);
  if (!config.tiedEmbeddings) shapes.set('output.weight', [vocabSize, dim]);
  return shapes;
}
