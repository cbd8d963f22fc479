/**
 * How large the KV cache is: the formula, its rounding to whole blocks, and the states it lies in.
 * Knows neither who owns a block (block-manager.ts) nor how blocks are read (the attention operator).
 *
 * K kv heads, E head dim.
 */
import type { LlamaConfig } from '../model/config.ts';
import { byteLength, type DType, type Shape } from '../tensor/dtype.ts';

/** Types in which keys and values can be kept. */
export const KV_TYPES = ['f32', 'bf16', 'f16', 'int8'] as const;
export type KvType = (typeof KV_TYPES)[number];

/** Tokens per block. Attention reads keys in tiles of a multiple of this, so smaller blocks cost nothing and waste least. */
export const KV_BLOCK_SIZE = 16;

/** int8: a byte a value and an f16 scale per 32 of them. */
const DTYPES: Readonly<Record<KvType, DType>> = { f32: 'f32', bf16: 'bf16', f16: 'f16', int8: 'row_q8' };

type KvConfig = Pick<LlamaConfig, 'numLayers' | 'numKvHeads' | 'headDim'>;

/** Bytes that one token of context takes over all layers: 2 (K and V) * bytes of head dim * kv heads values * layers. */
export function kvBytesPerToken({ numLayers, numKvHeads, headDim }: KvConfig, kvType: KvType): number {
  return 2 * byteLength(DTYPES[kvType], [1, headDim * numKvHeads]) * numLayers;
}

/** Bytes of the KV cache of `batch` sequences of `context` tokens, before rounding to whole blocks (arXiv:2211.05102, sec. 2.1). */
export function kvCacheBytes(config: KvConfig, kvType: KvType, context: number, batch: number): number {
  return kvBytesPerToken(config, kvType) * context * batch;
}

/** Whole blocks that hold `numTokens` tokens of one sequence. */
export function numBlocksFor(numTokens: number): number {
  return Math.ceil(numTokens / KV_BLOCK_SIZE);
}

/** Names of the states that hold one layer's keys and values. */
export function kvStateNames(layer: number): { readonly keys: string; readonly values: string } {
  return { keys: `cache.${layer}.keys`, values: `cache.${layer}.values` };
}

/** Type and shape [slots, K * E] of each of those states. */
export function kvStateType(config: KvConfig, kvType: KvType, numBlocks: number): { dtype: DType; shape: Shape } {
  return { dtype: DTYPES[kvType], shape: [numBlocks * KV_BLOCK_SIZE, config.numKvHeads * config.headDim] };
}
