/**
 * A graph as text, one node a line: for people, for golden files, and as the key under which plans are cached.
 */
import { createHash } from 'node:crypto';
import type { Graph, Tensor } from './graph.ts';

/** The graph as text: states and inputs first, then `%3 f32 [4, 8] = matmul(%1, w) {...}`, then the outputs. Values are numbered by order. */
export function printGraph(graph: Graph): string {
  const names = new Map<Tensor, string>();
  const nameOf = (tensor: Tensor | null): string => {
    if (!tensor) return '-';
    if (!names.has(tensor)) names.set(tensor, tensor.kind === 'value' ? `%${names.size}` : tensor.name);
    return names.get(tensor)!;
  };
  const typed = (tensor: Tensor) => `${nameOf(tensor)} ${tensor.dtype} [${tensor.shape.join(', ')}]`;
  const lines = [
    ...graph.states.map((state) => `state ${typed(state)}`),
    ...graph.inputs.map((input) => `input ${typed(input)}`),
  ];
  for (const node of graph.nodes) {
    const attrs = Object.keys(node.attrs).length > 0 ? ` ${JSON.stringify(node.attrs)}` : '';
    const region = node.region === null ? '' : ` # ${node.region}`;
    const inputs = node.inputs.map(nameOf).join(', ');
    lines.push(`${node.outputs.map(typed).join('; ')} = ${node.op}(${inputs})${attrs}${region}`);
  }
  for (const [name, tensor] of graph.outputs) lines.push(`output ${name} = ${nameOf(tensor)}`);
  return `${lines.join('\n')}\n`;
}

/** SHA-256 of the printed graph: equal graphs, equal hashes, in this process and any other. */
export function hashGraph(graph: Graph): string {
  return createHash('sha256').update(printGraph(graph)).digest('hex');
}
