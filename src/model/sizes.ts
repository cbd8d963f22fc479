/**
 * Every published Llama 3 size, and the project's own small ones, as data.
 * Sources: params.json of Meta's releases (dim, n_layers, ..., multiple_of, ffn_dim_multiplier), MODEL_CARD.md of meta-llama/llama-models.
 */
import { ConfigError } from '../util/errors.ts';
import { ffnDim, type LlamaConfig, type RopeScaling } from './config.ts';

const LLAMA3_VOCAB_SIZE = 128_256;
const LLAMA3_ROPE_THETA = 500_000;
/** Llama 3.1, 70B and 405B too: models/llama3/model.py apply_scaling. */
const ROPE_SCALING_3_1: RopeScaling = { factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPosition: 8192 };
/** The 3.2 checkpoints were published with factor 32 in their config.json. */
const ROPE_SCALING_3_2: RopeScaling = { ...ROPE_SCALING_3_1, factor: 32 };

type Shape = readonly [
  dim: number,
  layers: number,
  heads: number,
  kvHeads: number,
  multipleOf: number,
  ffnDimMultiplier: number,
];

const SHAPE_8B: Shape = [4096, 32, 32, 8, 1024, 1.3];
const SHAPE_70B: Shape = [8192, 80, 64, 8, 4096, 1.3];
const SHAPE_405B: Shape = [16384, 126, 128, 8, 4096, 1.2];
const SHAPE_1B: Shape = [2048, 16, 32, 8, 256, 1.5];
const SHAPE_3B: Shape = [3072, 28, 24, 8, 256, 1];

function published(
  [dim, numLayers, numHeads, numKvHeads, multipleOf, multiplier]: Shape,
  maxSeqLen: number,
  ropeScaling: RopeScaling | null,
  tiedEmbeddings = false,
): LlamaConfig {
  return {
    dim,
    numLayers,
    numHeads,
    numKvHeads,
    headDim: dim / numHeads,
    ffnDim: ffnDim(dim, multipleOf, multiplier),
    vocabSize: LLAMA3_VOCAB_SIZE,
    normEps: 1e-5,
    ropeTheta: LLAMA3_ROPE_THETA,
    ropeScaling,
    maxSeqLen,
    tiedEmbeddings,
  };
}

/** The project's own sizes: tied embeddings, no rope scaling; `multipleOf` 32 and no multiplier give the feed-forward size. */
function own(
  dim: number,
  numLayers: number,
  numHeads: number,
  numKvHeads: number,
  vocabSize: number,
  maxSeqLen: number,
): LlamaConfig {
  const shape: Shape = [dim, numLayers, numHeads, numKvHeads, 32, 1];
  return { ...published(shape, maxSeqLen, null, true), vocabSize };
}

const CONTEXT_3_0 = 8192;
const CONTEXT_3_1 = 131_072;

const SIZES = {
  'llama3-8b': published(SHAPE_8B, CONTEXT_3_0, null),
  'llama3-70b': published(SHAPE_70B, CONTEXT_3_0, null),
  'llama3.1-8b': published(SHAPE_8B, CONTEXT_3_1, ROPE_SCALING_3_1),
  'llama3.1-70b': published(SHAPE_70B, CONTEXT_3_1, ROPE_SCALING_3_1),
  'llama3.1-405b': published(SHAPE_405B, CONTEXT_3_1, ROPE_SCALING_3_1),
  'llama3.2-1b': published(SHAPE_1B, CONTEXT_3_1, ROPE_SCALING_3_2, true),
  'llama3.2-3b': published(SHAPE_3B, CONTEXT_3_1, ROPE_SCALING_3_2, true),
  /** HuggingFaceTB/SmolLM2-135M: the smallest well-known model of this architecture. */
  'smollm2-135m': { ...own(576, 30, 9, 3, 49_152, 8192), ffnDim: 1536, ropeTheta: 100_000 },
  /** The shape of the training benchmark. */
  'nano-30m': { ...own(512, 8, 8, 4, 8192, 512), ffnDim: 1536 },
  nano: own(192, 6, 6, 2, 1024, 256),
  tiny: own(64, 2, 4, 2, 384, 64),
} as const satisfies Record<string, LlamaConfig>;

export type SizeName = keyof typeof SIZES;

export const sizeNames: readonly SizeName[] = Object.keys(SIZES) as SizeName[];

/** The configuration of a named size; an unknown name is a ConfigError that lists the known ones. */
export function sizeConfig(name: string): LlamaConfig {
  if (!Object.hasOwn(SIZES, name))
    throw new ConfigError(`unknown model size "${name}": use one of ${sizeNames.join(', ')}`);
  return SIZES[name as SizeName];
}
