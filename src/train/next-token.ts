/**
 * Next-token cross-entropy as graphs: one adds the gradient of a micro-batch to the gradient states, one only measures.
 *
 * The loss is the sum over valid targets divided by the number of valid targets of the whole optimizer step: each micro-step
 * scales by the same `lossScale`, so any division into micro-steps gives the same gradient.
 */
import { checkpointRegions } from '../autodiff/checkpoint.ts';
import { gradients } from '../autodiff/gradients.ts';
import type { PackedBatch } from '../data/packed-batch.ts';
import type { LlamaConfig } from '../model/config.ts';
import { type BatchShape, targetLogProbs, trainingContext, trainingWeights } from '../model/training-step.ts';
import { gradientName } from '../optim/adamw.ts';
import { type Graph, trace } from '../tensor/graph.ts';
import type { Precision } from '../tensor/operators.ts';
import { affine, assign, mul, sum } from '../tensor/ops.ts';

export interface NextTokenOptions {
  readonly config: LlamaConfig;
  readonly shape: BatchShape;
  readonly precision: Precision;
  /** Compute each layer again for its gradient instead of keeping it: less memory, a third more time. */
  readonly checkpointLayers: boolean;
}

/** Input of the gradient graph: 1 / valid targets of the whole step, a scalar. */
export const LOSS_SCALE = 'lossScale';

/** Adds the gradient of one micro-batch to the gradient states; its output `loss` [T] is each target's cross-entropy in nats. */
export function nextTokenGradientGraph({ config, shape, precision, checkpointLayers }: NextTokenOptions): Graph {
  const graph = trace((t) => {
    const logProbs = targetLogProbs(t, shape, trainingContext(t, config, shape, precision));
    const loss = affine(logProbs, -1); // [T]
    t.output('loss', loss);
    const weights = [...trainingWeights(t, config)];
    const sums = weights.map(([name, weight]) => t.state(gradientName(name), 'f32', weight.shape));
    const targets = weights.map(([, tensor], i) => ({ tensor, addTo: sums[i]! }));
    const scaled = mul(sum(loss), t.input(LOSS_SCALE, 'f32', []));
    for (const [i, gradient] of gradients(scaled, targets).entries()) assign(sums[i]!, gradient);
  });
  return checkpointLayers ? checkpointRegions(graph) : graph;
}

/** Measures only: the output `loss` [T] is each target's cross-entropy in nats, 0 where the target is ignored. */
export function nextTokenLossGraph({ config, shape, precision }: NextTokenOptions): Graph {
  return trace((t) => {
    t.output('loss', affine(targetLogProbs(t, shape, trainingContext(t, config, shape, precision)), -1));
  });
}

/** A packed batch as the inputs of these graphs, without `lossScale`. */
export function batchInputs({ tokens, targets, positions, segments, blocks }: PackedBatch): Record<string, Int32Array> {
  return { tokens, targets, positions, segments, blocks };
}
