/**
 * Reverse-mode differentiation: one walk backwards over a trace, appending the gradient operators to it.
 */
import { invariant, ShapeError } from '../util/errors.ts';
import type { Node, Tensor } from '../tensor/graph.ts';
import type { OpName } from '../tensor/operators.ts';
import { add, cast } from '../tensor/ops.ts';
import { vjpRules } from './vjp-rules.ts';

export interface GradientTarget {
  /** Differentiate with respect to this. */
  readonly tensor: Tensor;
  /** The gradient is added to this; null gives the gradient alone. */
  readonly addTo: Tensor | null;
}

/** Region of all gradient nodes; every other region is forward. */
export const GRADIENT_REGION = 'gradient';

/** Appends to the trace of `loss`, a scalar [], its gradient with respect to each target; zeros where it does not depend on one. */
export function gradients(loss: Tensor, targets: readonly GradientTarget[]): readonly Tensor[] {
  if (loss.shape.length > 0) {
    throw new ShapeError(`gradients: the loss (${loss.name}) must be a scalar [], got [${loss.shape.join(', ')}]`);
  }
  return loss.trace.region(GRADIENT_REGION, () => walkBack(loss, targets));
}

function walkBack(loss: Tensor, targets: readonly GradientTarget[]): readonly Tensor[] {
  const nodes = [...loss.trace.nodes];
  const onPath = dependents(
    nodes,
    targets.map(({ tensor }) => tensor),
  );
  const gradientOf = new Map<Tensor, Tensor>();
  const addTo = new Map(targets.map((target) => [target.tensor, target.addTo]));
  const accumulate = (tensor: Tensor, gradient: Tensor): void => {
    const sum = gradientOf.get(tensor) ?? addTo.get(tensor) ?? null;
    gradientOf.set(tensor, sum ? add(cast(sum, 'f32'), cast(gradient, 'f32')) : gradient);
  };
  gradientOf.set(loss, loss.trace.constant(1, []));
  for (const node of nodes.toReversed()) {
    if (!node.outputs.some((output) => onPath.has(output))) continue;
    const dy = gradientOf.get(node.outputs[0]!);
    invariant(
      node.outputs.slice(1).every((output) => !gradientOf.has(output)),
      `internal: a gradient flows into ${node.op}, output 1 or later`,
    );
    if (!dy) continue;
    for (const [i, gradient] of applyRule(node, dy).entries()) {
      const input = node.inputs[i];
      if (input && gradient && onPath.has(input)) accumulate(input, gradient);
    }
  }
  return targets.map(
    ({ tensor, addTo: start }) => gradientOf.get(tensor) ?? start ?? loss.trace.constant(0, tensor.shape),
  );
}

function applyRule<K extends OpName>(node: Node<K>, dy: Tensor): readonly (Tensor | null)[] {
  return vjpRules[node.op](node, dy, node.inputs as readonly Tensor[]);
}

/** The tensors that depend on any of `sources`, these included. */
function dependents(nodes: readonly Node[], sources: readonly Tensor[]): ReadonlySet<Tensor> {
  const reached = new Set<Tensor>(sources);
  for (const node of nodes) {
    if (!node.inputs.some((input) => input && reached.has(input))) continue;
    for (const output of node.outputs) reached.add(output);
  }
  return reached;
}
