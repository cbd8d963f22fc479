/**
 * The work that ways to compute are compared by: the products of one token, and of a prompt, in Llama 3.2 1B, and one product of matrices.
 */
import { type LlamaConfig, llamaWeightShapes } from '../src/model/config.ts';
import { sizeConfig } from '../src/model/sizes.ts';
import { numValues } from '../src/tensor/dtype.ts';
import { PREFILL_TOKENS } from './workloads.ts';

export const CONFIG_1B = sizeConfig('llama3.2-1b');

/** Weights in the matrices of one layer. */
const LAYER_WEIGHTS = layerWeights();

/** Weights that the products of one token read. */
export const TOKEN_WEIGHTS = weightsOfToken(CONFIG_1B);

/** The product of matrices: c [M, N], K terms a sum. */
export const GEMM = { m: PREFILL_TOKENS, n: 2048, k: 2048 };
export const GEMM_FLOPS = 2 * GEMM.m * GEMM.n * GEMM.k;

/** How much of the model is measured: wide weights take much memory and disk, so a part that no cache holds stands for the whole. */
export const EXTENTS = {
  whole: { numLayers: CONFIG_1B.numLayers, vocabSize: CONFIG_1B.vocabSize },
  part: { numLayers: 4, vocabSize: 16_384 },
} as const;
export type Extent = keyof typeof EXTENTS;

/** What the time of one token is multiplied by: weights of the whole model over weights of the part. */
export function decodeScale(extent: Extent): number {
  return TOKEN_WEIGHTS / weightsOfToken(EXTENTS[extent]);
}

/** What the time of a prompt is multiplied by: logits of a prompt are computed for its last token only. */
export function prefillScale(extent: Extent): number {
  return CONFIG_1B.numLayers / EXTENTS[extent].numLayers;
}

/** What the time of a prompt is multiplied by to stand for the one product of matrices. */
export function gemmScale(extent: Extent): number {
  return (GEMM.n * GEMM.k) / (EXTENTS[extent].numLayers * LAYER_WEIGHTS);
}

function weightsOfToken({ numLayers, vocabSize }: Pick<LlamaConfig, 'numLayers' | 'vocabSize'>): number {
  return numLayers * LAYER_WEIGHTS + vocabSize * CONFIG_1B.dim;
}

function layerWeights(): number {
  const matrices = [...llamaWeightShapes(CONFIG_1B)].filter(
    ([name, shape]) => name.startsWith('layers.0.') && shape.length === 2,
  );
  return matrices.reduce((total, [, shape]) => total + numValues(shape), 0);
}
