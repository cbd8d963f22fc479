/**
 * Gradient checkpointing (arXiv:1604.06174) as a graph transformation: what a region computes only for the backward pass is not kept
 * but computed again right before it is needed. The same operators on the same inputs, so results keep their bits.
 */
import { invariant } from '../util/errors.ts';
import type { Graph, Node, Tensor } from '../tensor/graph.ts';
import { stateUpdates } from '../tensor/operators.ts';
import { Replay } from '../tensor/rewrite.ts';
import { GRADIENT_REGION } from './gradients.ts';

/** `graph` with every labelled region recomputed for its gradient; nodes left without a reader are for dead-code elimination. */
export function checkpointRegions(graph: Graph): Graph {
  const regions = forwardRegions(graph);
  const kept = keptTensors(graph);
  const replay = new Replay(graph);
  const recomputed = new Set<string>();
  for (const node of graph.nodes) {
    if (node.region === GRADIENT_REGION) {
      for (const region of regionsToRecompute(node, kept)) {
        if (recomputed.has(region)) continue;
        recomputed.add(region);
        recompute(regions.get(region)!, kept, replay);
      }
    }
    replay.emit(node);
  }
  return replay.finish(graph);
}

function forwardRegions(graph: Graph): Map<string, Node[]> {
  const regions = new Map<string, Node[]>();
  for (const node of graph.nodes) {
    if (node.region === null || node.region === GRADIENT_REGION) continue;
    invariant(!stateUpdates[node.op], `internal: region ${node.region} changes a state and cannot be computed twice`);
    regions.set(node.region, [...(regions.get(node.region) ?? []), node]);
  }
  return regions;
}

/** Tensors that other forward code or the caller reads: the borders between regions. */
function keptTensors(graph: Graph): Set<Tensor> {
  const kept = new Set<Tensor>(graph.outputs.values());
  for (const reader of graph.nodes) {
    if (reader.region === GRADIENT_REGION) continue;
    for (const input of reader.inputs) if (input && (input.node?.region ?? null) !== reader.region) kept.add(input);
  }
  return kept;
}

function regionsToRecompute(node: Node, kept: ReadonlySet<Tensor>): string[] {
  const regions = node.inputs.map((input) => (input && !kept.has(input) ? (input.node?.region ?? null) : null));
  return regions.filter((region) => region !== null && region !== GRADIENT_REGION) as string[];
}

function recompute(nodes: readonly Node[], kept: ReadonlySet<Tensor>, replay: Replay): void {
  for (const node of nodes) {
    const originals = node.outputs.map((output) => [output, replay.of(output)] as const);
    replay.emit({ ...node, region: GRADIENT_REGION });
    for (const [output, original] of originals) if (kept.has(output)) replay.move(output, original);
  }
}
