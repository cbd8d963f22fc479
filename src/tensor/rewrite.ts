/**
 * Replays a graph into a new one, node by node, with a chance to change each: the mechanism under every graph transformation.
 */
import { invariant } from '../util/errors.ts';
import type { Shape } from './dtype.ts';
import { type Graph, type Node, type Tensor, Trace } from './graph.ts';
import type { OpName } from './operators.ts';

/** The new graph as it grows, and where each old tensor went. */
export class Replay {
  readonly trace = new Trace();
  readonly #moved = new Map<Tensor, Tensor>();

  /** Inputs that `shapes` names get other shapes. */
  constructor(graph: Graph, shapes: ReadonlyMap<string, Shape> = new Map()) {
    for (const input of graph.inputs) {
      const shape = shapes.get(input.name) ?? input.shape;
      this.move(input, this.trace.input(input.name, input.dtype, shape));
    }
    for (const state of graph.states) this.move(state, this.trace.state(state.name, state.dtype, state.shape));
  }

  /** The new tensor that stands for an old one. */
  of(old: Tensor): Tensor {
    const moved = this.#moved.get(old);
    invariant(moved, `internal: ${old.name} is used before it is computed`);
    return moved;
  }

  has(old: Tensor): boolean {
    return this.#moved.has(old);
  }

  /** From now on `moved` stands for `old`. */
  move(old: Tensor, moved: Tensor): void {
    this.#moved.set(old, moved);
  }

  /** Appends a node like `node` to the new graph, by default on the moved inputs. */
  emit<K extends OpName>(node: Node<K>, inputs = node.inputs.map((input) => input && this.of(input))): void {
    const outputs = this.trace.region(node.region, () => this.trace.apply(node.op, inputs, node.attrs));
    for (const [i, output] of outputs.entries()) this.move(node.outputs[i]!, output);
  }

  /** The new graph, with the outputs of the old one. */
  finish(graph: Graph): Graph {
    for (const [name, tensor] of graph.outputs) this.trace.output(name, this.of(tensor));
    return this.trace.finish();
  }
}

/** Operators whose attributes name sizes, which do not follow those of the inputs. */
const SIZED: ReadonlySet<OpName> = new Set<OpName>(['constant', 'expand', 'scatterAdd']);

/** The same graph on inputs of other shapes; itself where they are its own. */
export function reshape(graph: Graph, shapes: ReadonlyMap<string, Shape>): Graph {
  if (graph.inputs.every(({ name, shape }) => String(shape) === String(shapes.get(name) ?? shape))) return graph;
  const replay = new Replay(graph, shapes);
  for (const node of graph.nodes) {
    invariant(!SIZED.has(node.op), `internal: ${node.op} keeps its size, so the graph cannot be reshaped`);
    replay.emit(node);
  }
  return replay.finish(graph);
}

/** How often each tensor is read: by nodes, and as an output of the graph. */
export function countUses(graph: Graph): Map<Tensor, number> {
  const uses = new Map<Tensor, number>();
  const count = (tensor: Tensor | null) => tensor && uses.set(tensor, (uses.get(tensor) ?? 0) + 1);
  for (const node of graph.nodes) node.inputs.forEach(count);
  for (const tensor of graph.outputs.values()) count(tensor);
  return uses;
}
