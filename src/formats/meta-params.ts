/**
 * Meta's params.json, to and from LlamaConfig, with a few keys of our own for what Meta's code cannot express.
 * Sources: meta-llama/llama3 llama/model.py ModelArgs; llama-models models/llama3/args.py, model.py (`apply_scaling`).
 */
import { z } from 'zod';
import { checkLlamaConfig, ffnDim, type LlamaConfig, type RopeScaling } from '../model/config.ts';
import { ConfigError } from '../util/errors.ts';
import { checkSchema } from './bounded-json.ts';

const ropeScalingSchema = z.strictObject({
  factor: z.number(),
  low_freq_factor: z.number(),
  high_freq_factor: z.number(),
  original_max_position: z.number(),
});

const paramsSchema = z.looseObject({
  dim: z.number(),
  n_layers: z.number(),
  n_heads: z.number(),
  n_kv_heads: z.number().nullish(),
  vocab_size: z.number(),
  multiple_of: z
    .number()
    .int()
    .min(1)
    .max(2 ** 24)
    .optional(),
  ffn_dim_multiplier: z.number().nullish(),
  norm_eps: z.number().optional(),
  rope_theta: z.number().optional(),
  use_scaled_rope: z.boolean().optional(),
  max_seq_len: z.number().optional(),
  quantization_args: z.unknown().optional(),
  lora_args: z.unknown().optional(),
  vision_model: z.unknown().optional(),
  // Ours; absent from Meta's files.
  head_dim: z.number().optional(),
  ffn_dim: z.number().optional(),
  rope_scaling: ropeScalingSchema.nullish(),
  tied_embeddings: z.boolean().optional(),
});

/** What `use_scaled_rope` stands for: Meta's code has these numbers as constants (`apply_scaling`). */
const META_ROPE_SCALING: RopeScaling = {
  factor: 8,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalMaxPosition: 8192,
};

/** What the tensors beside a params.json say that the file itself leaves open. */
export interface MetaWeightFacts {
  /** Rows of the joined embedding table, or null if unknown. */
  readonly vocabSize: number | null;
  readonly isTied: boolean;
}

/** The model a parsed params.json describes; throws a FormatError or ConfigError that names `where`. */
export function llamaConfigFromMeta(json: unknown, facts: MetaWeightFacts, where: string): LlamaConfig {
  const params = checkSchema(paramsSchema, json, where);
  for (const key of ['quantization_args', 'lora_args', 'vision_model'] as const) {
    if (params[key] !== undefined && params[key] !== null) {
      throw new ConfigError(`${where}: has ${key}; only plain text models in floating point are supported`);
    }
  }
  const vocabSize = params.vocab_size > 0 ? params.vocab_size : (facts.vocabSize ?? params.vocab_size);
  const isLlama2 = vocabSize === 32_000; // their code had the base 10000 as a constant
  const scaling = params.rope_scaling ?? null;
  const config: LlamaConfig = {
    dim: params.dim,
    numLayers: params.n_layers,
    numHeads: params.n_heads,
    numKvHeads: params.n_kv_heads ?? params.n_heads,
    headDim: params.head_dim ?? params.dim / params.n_heads,
    ffnDim: params.ffn_dim ?? ffnDim(params.dim, params.multiple_of ?? 256, params.ffn_dim_multiplier ?? null),
    vocabSize,
    normEps: params.norm_eps ?? 1e-5,
    ropeTheta: params.rope_theta ?? (isLlama2 ? 10_000 : 500_000),
    ropeScaling: scaling === null ? (params.use_scaled_rope === true ? META_ROPE_SCALING : null) : ropeScaling(scaling),
    maxSeqLen: params.max_seq_len ?? (params.use_scaled_rope === true ? 131_072 : isLlama2 ? 4096 : 8192),
    tiedEmbeddings: params.tied_embeddings ?? facts.isTied,
  };
  return checkLlamaConfig(config, where);
}

function ropeScaling(params: z.infer<typeof ropeScalingSchema>): RopeScaling {
  return {
    factor: params.factor,
    lowFreqFactor: params.low_freq_factor,
    highFreqFactor: params.high_freq_factor,
    originalMaxPosition: params.original_max_position,
  };
}

/**
 * The params.json that Meta's own code loads: only keys its ModelArgs knows.
 * Throws a ConfigError if the model cannot be expressed there.
 */
export function metaParamsJson(config: LlamaConfig, where: string): Record<string, unknown> {
  if (config.headDim * config.numHeads !== config.dim) {
    throw new ConfigError(
      `${where}: Meta's layout needs headDim = dim / numHeads, this model has headDim ${config.headDim}`,
    );
  }
  const scaling = config.ropeScaling;
  if (scaling !== null && !isMetaScaling(scaling)) {
    throw new ConfigError(
      `${where}: Meta's code fixes the rope scaling to factor 8, 1, 4, 8192; this model has ${Object.values(scaling).join(', ')}. ` +
        'Convert to hf or gguf instead',
    );
  }
  return {
    dim: config.dim,
    n_layers: config.numLayers,
    n_heads: config.numHeads,
    n_kv_heads: config.numKvHeads,
    vocab_size: config.vocabSize,
    ...ffnFactors(config),
    norm_eps: config.normEps,
    rope_theta: config.ropeTheta,
    ...(scaling === null ? {} : { use_scaled_rope: true }),
  };
}

function isMetaScaling(scaling: RopeScaling): boolean {
  return (Object.keys(META_ROPE_SCALING) as (keyof RopeScaling)[]).every(
    (key) => scaling[key] === META_ROPE_SCALING[key],
  );
}

// (ffn_dim_multiplier, multiple_of) of Meta's published models, so that theirs come back as they were.
const PUBLISHED_FFN = [
  [1.3, 1024],
  [1.3, 4096],
  [1.2, 4096],
  [1.5, 256],
  [1, 256],
  [null, 256],
] as const;

function ffnFactors(config: LlamaConfig): { multiple_of: number; ffn_dim_multiplier?: number } {
  for (const [multiplier, multipleOf] of PUBLISHED_FFN) {
    if (ffnDim(config.dim, multipleOf, multiplier) === config.ffnDim) {
      return { multiple_of: multipleOf, ...(multiplier === null ? {} : { ffn_dim_multiplier: multiplier }) };
    }
  }
  // Anything in (0, size] rounds up to the size when that is the multiple asked for.
  const unrounded = ffnDim(config.dim, 1, null);
  if (unrounded <= config.ffnDim) return { multiple_of: config.ffnDim };
  return { multiple_of: config.ffnDim, ffn_dim_multiplier: (config.ffnDim - 0.5) / unrounded };
}

/** The params.json of our own folders: every number explicit, readable by llamaConfigFromMeta. */
export function criaParamsJson(config: LlamaConfig): Record<string, unknown> {
  const scaling = config.ropeScaling;
  return {
    dim: config.dim,
    n_layers: config.numLayers,
    n_heads: config.numHeads,
    n_kv_heads: config.numKvHeads,
    head_dim: config.headDim,
    ffn_dim: config.ffnDim,
    vocab_size: config.vocabSize,
    norm_eps: config.normEps,
    rope_theta: config.ropeTheta,
    rope_scaling:
      scaling === null
        ? null
        : {
            factor: scaling.factor,
            low_freq_factor: scaling.lowFreqFactor,
            high_freq_factor: scaling.highFreqFactor,
            original_max_position: scaling.originalMaxPosition,
          },
    max_seq_len: config.maxSeqLen,
    tied_embeddings: config.tiedEmbeddings,
  };
}
