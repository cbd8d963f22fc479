/**
 * The Llama 3 transformer, bottom-up, with Meta's weight names: feed-forward, attention, block, model.
 * Pure functions over symbolic tensors: they know neither where weights come from nor how keys and values are kept between steps.
 * Rows are tokens of any mix of sequences, so one definition serves training on packed rows, prefill, decode and batches.
 *
 * T tokens, D model dim, H query heads, K kv heads, E head dim, F ffn hidden, V vocabulary.
 * Reference: meta-llama/llama3 llama/model.py.
 */
import type { FloatType, Precision } from '../tensor/operators.ts';
import type { Tensor } from '../tensor/graph.ts';
import { add, attention, type AttentionLayout, gather, linear, rmsNorm, rope, swiglu } from '../tensor/ops.ts';
import type { LlamaConfig } from './config.ts';

/** Keys and values of one layer as attention reads them, [slots, K * E] each. */
export interface KeysValues {
  keys: Tensor;
  values: Tensor;
}

/** What one forward pass needs beside the token ids. */
export interface LlamaContext {
  readonly config: LlamaConfig;
  /** The weight of this name, see `llamaWeightShapes`. */
  readonly weight: (name: string) => Tensor;
  /** Arithmetic of the products; with bf16, tensors that only products read are kept in bf16 too. Quantised weights bring their own. */
  readonly precision: Precision;
  /** Position of each token in its sequence, i32 [T]. */
  readonly positions: Tensor;
  /** cos and sin of each position, f32 [positions, E]; see `ropeTable`. */
  readonly ropeTable: Tensor;
  /** Slots in each block of `layout.blocks`. */
  readonly blockSize: number;
  readonly layout: AttentionLayout;
  /** Where a layer's new keys and values [T, K * E] go, and what attention reads: the same when nothing is cached. */
  readonly keepKeysValues: (layer: number, fresh: KeysValues) => KeysValues;
}

/** SwiGLU feed-forward: w2(silu(w1 x) * w3 x), [T, D] -> [T, D]. */
function feedForward(x: Tensor, prefix: string, { weight, precision }: LlamaContext): Tensor {
  const gate = linear(x, weight(`${prefix}.w1.weight`), precision); // [T, F]
  const up = linear(x, weight(`${prefix}.w3.weight`), precision);
  return linear(swiglu(gate, up, keptAs(precision)), weight(`${prefix}.w2.weight`), precision);
}

/** Grouped-query attention with rotary positions, [T, D] -> [T, D]. */
function selfAttention(x: Tensor, layer: number, context: LlamaContext): Tensor {
  const { config, weight, precision, ropeTable, positions, layout, blockSize } = context;
  const prefix = `layers.${layer}.attention`;
  const project = (name: string) => linear(x, weight(`${prefix}.${name}.weight`), precision);
  const q = rope(project('wq'), ropeTable, positions, config.headDim); // [T, H * E]
  const k = rope(project('wk'), ropeTable, positions, config.headDim); // [T, K * E]
  const { keys, values } = context.keepKeysValues(layer, { keys: k, values: project('wv') });
  const mixed = attention(q, keys, values, layout, {
    numHeads: config.numHeads,
    numKvHeads: config.numKvHeads,
    headDim: config.headDim,
    scale: config.headDim ** -0.5,
    blockSize,
    out: keptAs(precision),
  });
  return linear(mixed, weight(`${prefix}.wo.weight`), precision);
}

/** One transformer block: both halves read a normalised copy of the residual stream and add to it. */
function block(x: Tensor, layer: number, context: LlamaContext): Tensor {
  const { config, weight, precision } = context;
  const norm = (input: Tensor, name: string) =>
    rmsNorm(input, weight(`layers.${layer}.${name}.weight`), config.normEps, keptAs(precision));
  const h = add(x, selfAttention(norm(x, 'attention_norm'), layer, context));
  return add(h, feedForward(norm(h, 'ffn_norm'), `layers.${layer}.feed_forward`, context));
}

/** Token ids i32 [T] -> final normalised hidden states [T, D]. */
export function llamaHidden(tokens: Tensor, context: LlamaContext): Tensor {
  const { config, weight, precision } = context;
  let x = gather(weight('tok_embeddings.weight'), tokens);
  for (let layer = 0; layer < config.numLayers; layer++) {
    x = tokens.trace.region(`layers.${layer}`, () => block(x, layer, context));
  }
  return rmsNorm(x, weight('norm.weight'), config.normEps, keptAs(precision));
}

/** Hidden states [T, D] -> logits f32 [T, V]. */
export function llamaLogits(hidden: Tensor, { config, weight, precision }: LlamaContext): Tensor {
  return linear(hidden, weight(outputWeightName(config)), precision);
}

/** The weight that turns hidden states into logits: the embedding table itself where the two are tied. */
export function outputWeightName(config: LlamaConfig): string {
  return config.tiedEmbeddings ? 'tok_embeddings.weight' : 'output.weight';
}

/** Type of a tensor that only products read: bf16 products would round it anyway. Results of products stay f32. */
function keptAs(precision: Precision): FloatType {
  return precision;
}
