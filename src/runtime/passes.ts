/**
 * Graph transformations that make a graph cheaper and leave its meaning alone. Each is a replay of the graph (tensor/rewrite.ts).
 */
import type { Graph, Node, Tensor } from '../tensor/graph.ts';
import { addendSlots, stateUpdates } from '../tensor/operators.ts';
import { countUses, Replay } from '../tensor/rewrite.ts';

/** All passes, in the order that lets each profit from the one before. */
export function optimise(graph: Graph): Graph {
  return foldAddends(eliminateDeadCode(mergeForwardIntoGrad(eliminateDeadCode(graph))));
}

/** Drops nodes that reach neither an output nor a state. */
function eliminateDeadCode(graph: Graph): Graph {
  const needed = new Set<Tensor>(graph.outputs.values());
  const kept = new Set<Node>();
  for (const node of graph.nodes.toReversed()) {
    if (!stateUpdates[node.op] && !node.outputs.some((output) => needed.has(output))) continue;
    kept.add(node);
    for (const input of node.inputs) if (input) needed.add(input);
  }
  if (kept.size === graph.nodes.length) return graph;
  const replay = new Replay(graph);
  for (const node of graph.nodes) if (kept.has(node)) replay.emit(node);
  return replay.finish(graph);
}

/**
 * `tokenLogProbsGrad` computes the log-probabilities on its way. Where a graph holds both it and the forward operator on the same inputs, and
 * the gradient does not wait for the forward result, the forward product over the whole vocabulary is spared.
 */
function mergeForwardIntoGrad(graph: Graph): Graph {
  const gradOf = new Map<Tensor, Node>(); // log-probabilities -> the gradient node that yields them too
  for (const grad of graph.nodes.filter((node) => node.op === 'tokenLogProbsGrad')) {
    const forward = graph.nodes.find(
      (node) => node.op === 'tokenLogProbs' && [0, 1, 2].every((i) => node.inputs[i] === grad.inputs[i + 1]),
    );
    if (forward && !dependsOn(grad.inputs[0]!, forward)) gradOf.set(forward.outputs[0]!, grad);
  }
  if (gradOf.size === 0) return graph;
  const replay = new Replay(graph);
  let waiting: Node[] = graph.nodes.filter((node) => !gradOf.has(node.outputs[0]!));
  while (waiting.length > 0) {
    const deferred: Node[] = [];
    for (const node of waiting) {
      if (!node.inputs.every((input) => !input || replay.has(input))) {
        deferred.push(node);
        continue;
      }
      replay.emit(node);
      for (const [logProbs, grad] of gradOf) if (grad === node) replay.move(logProbs, replay.of(grad.outputs[0]!));
    }
    waiting = deferred;
  }
  return replay.finish(graph);
}

function dependsOn(tensor: Tensor, node: Node): boolean {
  const seen = new Set<Tensor>();
  const pending = [tensor];
  for (let current = pending.pop(); current; current = pending.pop()) {
    if (seen.has(current) || !current.node) continue;
    if (current.node === node) return true;
    seen.add(current);
    for (const input of current.node.inputs) if (input) pending.push(input);
  }
  return false;
}

/** Turns add(p, q), where only this reads q and q's operator has a free addend slot, into q computed on top of p. */
export function foldAddends(graph: Graph): Graph {
  const uses = countUses(graph);
  const position = new Map(graph.nodes.map((node, i) => [node, i]));
  const definedAt = (tensor: Tensor) => (tensor.node ? position.get(tensor.node)! : -1);
  const addendFor = new Map<Node, { addend: Tensor; sum: Node }>();
  const foldedInto = new Map<Node, Node>();
  const canHost = (host: Tensor, addend: Tensor): boolean => {
    const slot = host.node && addendSlots[host.node.op];
    if (!host.node || !slot || slot.output !== host.index || host.node.inputs[slot.input] || addendFor.has(host.node))
      return false;
    return (
      uses.get(host) === 1 && host.dtype === 'f32' && addend.dtype === 'f32' && definedAt(addend) < definedAt(host)
    );
  };
  for (const sum of graph.nodes) {
    if (sum.op !== 'add' || sum.inputs[0] === sum.inputs[1]) continue;
    const [p, q] = sum.inputs as [Tensor, Tensor];
    const [host, addend] = canHost(q, p) ? [q, p] : canHost(p, q) ? [p, q] : [null, null];
    if (!host) continue;
    addendFor.set(host.node!, { addend, sum });
    foldedInto.set(sum, host.node!);
  }
  const replay = new Replay(graph);
  for (const node of graph.nodes) {
    if (foldedInto.has(node)) continue;
    const fold = addendFor.get(node);
    if (!fold) {
      replay.emit(node);
      continue;
    }
    const slot = addendSlots[node.op]!;
    const inputs = node.inputs.map((input) => input && replay.of(input));
    inputs[slot.input] = replay.of(fold.addend);
    replay.emit(node, inputs);
    replay.move(fold.sum.outputs[0]!, replay.of(node.outputs[slot.output]!));
  }
  return replay.finish(graph);
}
