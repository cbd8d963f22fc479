/**
 * The checker run on the result of graph transformations: a graph that passes can be planned. Failing is a bug of ours.
 */
import { invariant } from '../util/errors.ts';
import { type Graph, rootState, type Tensor } from './graph.ts';
import { stateUpdates } from './operators.ts';
import { shapeRules } from './shape-rules.ts';

/** Throws unless every tensor is computed before it is read, has the type its operator gives, and no state is read after it was replaced. */
export function checkGraph(graph: Graph): void {
  const known = new Set<Tensor>([...graph.inputs, ...graph.states]);
  const currentVersion = new Map<Tensor, Tensor>(graph.states.map((state) => [state, state]));
  const checkRead = (reader: string, tensor: Tensor): void => {
    invariant(known.has(tensor), `internal: ${reader} reads ${tensor.name} before it is computed`);
    const root = rootState(tensor);
    invariant(
      !root || currentVersion.get(root) === tensor,
      `internal: ${reader} reads ${tensor.name} after it was replaced`,
    );
  };
  for (const node of graph.nodes) {
    for (const input of node.inputs) if (input) checkRead(node.op, input);
    const types = shapeRules[node.op](node.inputs, node.attrs as never);
    for (const [i, output] of node.outputs.entries()) {
      const same = types[i]?.dtype === output.dtype && String(types[i]?.shape) === String(output.shape);
      invariant(same, `internal: output ${i} of ${node.op} is not of the type its rule gives`);
      known.add(output);
      if (stateUpdates[node.op]?.[i] !== undefined) currentVersion.set(rootState(output)!, output);
    }
  }
  for (const [name, tensor] of graph.outputs) checkRead(`output ${name}`, tensor);
}
