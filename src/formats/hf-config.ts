/**
 * Hugging Face's config.json of a Llama model, to and from LlamaConfig.
 * Source: transformers configuration_llama.py (names, defaults); version 5 nests the rope values in `rope_parameters`.
 */
import { z } from 'zod';
import { checkLlamaConfig, type LlamaConfig, type RopeScaling } from '../model/config.ts';
import { ConfigError } from '../util/errors.ts';
import { checkSchema } from './bounded-json.ts';

const tokenIds = z.union([z.number().int(), z.array(z.number().int()).max(64)]).nullish();

const ropeSchema = z.looseObject({
  rope_type: z.string().nullish(),
  type: z.string().nullish(), // name of rope_type before transformers 4.43
  rope_theta: z.number().nullish(),
});

const llama3RopeSchema = z.looseObject({
  factor: z.number(),
  low_freq_factor: z.number(),
  high_freq_factor: z.number(),
  original_max_position_embeddings: z.number(),
});

const configSchema = z.looseObject({
  model_type: z.string(),
  hidden_size: z.number(),
  intermediate_size: z.number(),
  num_hidden_layers: z.number(),
  num_attention_heads: z.number(),
  num_key_value_heads: z.number().nullish(),
  head_dim: z.number().nullish(),
  vocab_size: z.number(),
  max_position_embeddings: z.number().nullish(),
  rms_norm_eps: z.number().nullish(),
  rope_theta: z.number().nullish(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  hidden_act: z.string().nullish(),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  quantization_config: z.unknown().optional(),
  bos_token_id: tokenIds,
  eos_token_id: tokenIds,
});

type HfConfig = z.infer<typeof configSchema>;
type HfRope = z.infer<typeof ropeSchema>;

/** The model a parsed config.json describes; throws a FormatError or ConfigError that names `where`. */
export function llamaConfigFromHf(json: unknown, where: string): LlamaConfig {
  const hf = checkSchema(configSchema, json, where);
  checkSupported(hf, where);
  const rope = hf.rope_parameters ?? hf.rope_scaling ?? null;
  const config: LlamaConfig = {
    dim: hf.hidden_size,
    numLayers: hf.num_hidden_layers,
    numHeads: hf.num_attention_heads,
    numKvHeads: hf.num_key_value_heads ?? hf.num_attention_heads,
    headDim: hf.head_dim ?? hf.hidden_size / hf.num_attention_heads,
    ffnDim: hf.intermediate_size,
    vocabSize: hf.vocab_size,
    normEps: hf.rms_norm_eps ?? 1e-6,
    ropeTheta: rope?.rope_theta ?? hf.rope_theta ?? 10_000,
    ropeScaling: rope === null ? null : ropeScalingFromHf(rope, where),
    maxSeqLen: hf.max_position_embeddings ?? 2048,
    tiedEmbeddings: hf.tie_word_embeddings ?? false,
  };
  return checkLlamaConfig(config, where);
}

function checkSupported(hf: HfConfig, where: string): void {
  if (hf.model_type !== 'llama') {
    throw new ConfigError(`${where}: model_type "${hf.model_type.slice(0, 40)}" is not supported, only "llama" is`);
  }
  if ((hf.hidden_act ?? 'silu') !== 'silu') {
    throw new ConfigError(`${where}: hidden_act "${hf.hidden_act?.slice(0, 40)}" is not supported, only "silu" is`);
  }
  if (hf.attention_bias === true || hf.mlp_bias === true) {
    throw new ConfigError(`${where}: attention_bias and mlp_bias are not supported; Llama 3 models have none`);
  }
  if (hf.quantization_config !== undefined && hf.quantization_config !== null) {
    throw new ConfigError(`${where}: its weights are quantised (quantization_config); use the original or a GGUF file`);
  }
}

function ropeScalingFromHf(rope: HfRope, where: string): RopeScaling | null {
  const type = rope.rope_type ?? rope.type ?? 'default';
  if (type === 'default') return null;
  if (type !== 'llama3') {
    throw new ConfigError(`${where}: rope scaling "${type.slice(0, 40)}" is not supported, only "llama3" is`);
  }
  const scaling = checkSchema(llama3RopeSchema, rope, `${where}: llama3 rope scaling`);
  return {
    factor: scaling.factor,
    lowFreqFactor: scaling.low_freq_factor,
    highFreqFactor: scaling.high_freq_factor,
    originalMaxPosition: scaling.original_max_position_embeddings,
  };
}

/** Ids with which text starts and stops, as far as the checkpoint names them. */
export interface TokenIds {
  readonly bosId: number | null;
  readonly eosIds: readonly number[];
  readonly padId: number | null;
}

const tokenIdsSchema = z.looseObject({ bos_token_id: tokenIds, eos_token_id: tokenIds, pad_token_id: tokenIds });

/** The token ids of a parsed generation_config.json or config.json. */
export function tokenIdsFromHf(json: unknown, where: string): TokenIds {
  const ids = checkSchema(tokenIdsSchema, json, where);
  return {
    bosId: idList(ids.bos_token_id)[0] ?? null,
    eosIds: idList(ids.eos_token_id),
    padId: idList(ids.pad_token_id)[0] ?? null,
  };
}

/** One id, a list or nothing, as a list; transformers writes -1 for "no padding id". */
function idList(value: number | number[] | null | undefined): number[] {
  return [value ?? []].flat().filter((id) => id >= 0);
}

function tokenIdFields(ids: TokenIds): Record<string, unknown> {
  return {
    ...(ids.bosId === null ? {} : { bos_token_id: ids.bosId }),
    ...(ids.eosIds.length === 0 ? {} : { eos_token_id: ids.eosIds.length === 1 ? ids.eosIds[0] : [...ids.eosIds] }),
    ...(ids.padId === null ? {} : { pad_token_id: ids.padId }),
  };
}

/** The config.json of `config`, as transformers 4 and 5, vLLM and llama.cpp's converter read it. */
export function hfConfigJson(config: LlamaConfig, ids: TokenIds, torchDtype: string): Record<string, unknown> {
  const scaling = config.ropeScaling;
  return {
    architectures: ['LlamaForCausalLM'],
    attention_bias: false,
    attention_dropout: 0,
    ...tokenIdFields(ids),
    head_dim: config.headDim,
    hidden_act: 'silu',
    hidden_size: config.dim,
    initializer_range: 0.02,
    intermediate_size: config.ffnDim,
    max_position_embeddings: config.maxSeqLen,
    mlp_bias: false,
    model_type: 'llama',
    num_attention_heads: config.numHeads,
    num_hidden_layers: config.numLayers,
    num_key_value_heads: config.numKvHeads,
    pretraining_tp: 1,
    rms_norm_eps: config.normEps,
    rope_scaling:
      scaling === null
        ? null
        : {
            factor: scaling.factor,
            high_freq_factor: scaling.highFreqFactor,
            low_freq_factor: scaling.lowFreqFactor,
            original_max_position_embeddings: scaling.originalMaxPosition,
            rope_type: 'llama3',
          },
    rope_theta: config.ropeTheta,
    tie_word_embeddings: config.tiedEmbeddings,
    torch_dtype: torchDtype,
    use_cache: true,
    vocab_size: config.vocabSize,
  };
}

/** The generation_config.json beside it. */
export function hfGenerationConfigJson(ids: TokenIds): Record<string, unknown> {
  return { _from_model_config: true, ...tokenIdFields(ids) };
}
