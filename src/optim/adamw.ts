/**
 * AdamW over all parameters as one traced step, and the global norm of their gradients as another.
 * Parameters, gradients and moments are states; what changes from step to step comes in as an input.
 * Source: arXiv:1711.05101; decay on matrices only, as in nanoGPT and the Llama papers' code.
 */
import { type Graph, trace } from '../tensor/graph.ts';
import type { Shape } from '../tensor/dtype.ts';
import { sumOfSquares } from '../tensor/ops.ts';
import type { Tensor } from '../tensor/graph.ts';

export interface AdamwOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** Decoupled weight decay of matrices; vectors (norm weights) are not decayed. */
  readonly weightDecay: number;
}

/** Names of the states that go with a parameter. */
export const gradientName = (parameter: string): string => `grad.${parameter}`;
export const momentNames = (parameter: string): readonly [m: string, v: string] => [`m.${parameter}`, `v.${parameter}`];

/** Input of the update graph: what `adamwHyper` gives. */
export const HYPER_INPUT = 'hyper';
/** Output of the norm graph: the sum of the squares of all gradients. */
export const SQUARED_NORM_OUTPUT = 'squaredNorm';

/** One update of every parameter; leaves the gradients at 0. */
export function adamwGraph(shapes: ReadonlyMap<string, Shape>, { weightDecay, ...betas }: AdamwOptions): Graph {
  return trace((graph) => {
    const hyper = graph.input(HYPER_INPUT, 'f32', [4]);
    for (const [name, shape] of shapes) {
      const states = [name, gradientName(name), ...momentNames(name)].map((state) => graph.state(state, 'f32', shape));
      graph.apply('adamw', [...states, hyper], { ...betas, weightDecay: shape.length >= 2 ? weightDecay : 0 });
    }
  });
}

/** The squared global norm of all gradients. */
export function gradientNormGraph(shapes: ReadonlyMap<string, Shape>): Graph {
  return trace((graph) => {
    const gradients = [...shapes].map(([name, shape]) => graph.state(gradientName(name), 'f32', shape));
    graph.output(SQUARED_NORM_OUTPUT, sumOfSquares(gradients as [Tensor, ...Tensor[]]));
  });
}

/** The numbers of one update: `updateNumber` counts from 1, gradients are multiplied by `gradientScale` first. */
export function adamwHyper(
  lr: number,
  updateNumber: number,
  { beta1, beta2 }: Pick<AdamwOptions, 'beta1' | 'beta2'>,
  gradientScale: number,
): Float32Array {
  return Float32Array.of(lr, 1 - beta1 ** updateNumber, 1 - beta2 ** updateNumber, gradientScale);
}
