/**
 * Symbolic tensors and the graph they form. Model and loss code calls operators on symbolic tensors; the trace records them in
 * execution order. A finished graph is plain immutable data that passes transform and backends plan.
 */
import { invariant, ShapeError } from '../util/errors.ts';
import type { DType, Shape } from './dtype.ts';
import { type OpAttrs, type OpName, stateUpdates } from './operators.ts';
import { shapeRules } from './shape-rules.ts';

/** A value in a graph; `node` is null for inputs and for states as they are before the step. */
export interface Tensor {
  readonly trace: Trace;
  readonly id: number;
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly kind: 'input' | 'state' | 'value';
  readonly node: Node | null;
  /** Which of the node's outputs this is. */
  readonly index: number;
}

/** One application of an operator. `region` groups the nodes that gradient checkpointing recomputes together. */
export interface Node<K extends OpName = OpName> {
  readonly op: K;
  readonly attrs: OpAttrs[K];
  readonly inputs: readonly (Tensor | null)[];
  readonly outputs: readonly Tensor[];
  readonly region: string | null;
}

/** What a trace yields: nodes in execution order, and the tensors that come in from and go out to the caller. */
export interface Graph {
  readonly inputs: readonly Tensor[];
  readonly states: readonly Tensor[];
  readonly nodes: readonly Node[];
  readonly outputs: ReadonlyMap<string, Tensor>;
}

/** Records operators while model code runs. Use `trace()`. */
export class Trace {
  readonly nodes: Node[] = [];
  readonly #inputs = new Map<string, Tensor>();
  readonly #states = new Map<string, Tensor>();
  readonly #outputs = new Map<string, Tensor>();
  #nextId = 0;
  #region: string | null = null;

  /** A tensor the caller supplies at every run. */
  input(name: string, dtype: DType, shape: Shape): Tensor {
    return this.#declare(this.#inputs, 'input', name, dtype, shape);
  }

  /** A tensor that lives on between runs: a parameter, an optimizer moment, a cache. Asking again for a name gives the same tensor. */
  state(name: string, dtype: DType, shape: Shape): Tensor {
    return this.#declare(this.#states, 'state', name, dtype, shape);
  }

  /** An f32 tensor with the same value in every place. */
  constant(value: number, shape: Shape): Tensor {
    return this.apply('constant', [], { value, shape })[0]!;
  }

  /** Names a tensor that every run returns. */
  output(name: string, tensor: Tensor): void {
    invariant(!this.#outputs.has(name), `internal: output ${name} is named twice`);
    this.#outputs.set(name, tensor);
  }

  /** Runs `body` with its nodes labelled as one region for gradient checkpointing. */
  region<T>(name: string | null, body: () => T): T {
    const outer = this.#region;
    this.#region = name;
    try {
      return body();
    } finally {
      this.#region = outer;
    }
  }

  /** Appends a node; throws ShapeError when the operator cannot take these inputs. */
  apply<K extends OpName>(op: K, inputs: readonly (Tensor | null)[], attrs: OpAttrs[K]): readonly Tensor[] {
    for (const input of inputs)
      invariant(!input || input.trace === this, `internal: ${op} mixes tensors of two traces`);
    const updates = stateUpdates[op] ?? [];
    for (const i of updates) {
      invariant(inputs[i] && rootState(inputs[i]), `internal: ${op} changes its input ${i}, which must be a state`);
    }
    const results = shapeRules[op](inputs, attrs);
    const outputs: Tensor[] = [];
    const node: Node = { op, attrs, inputs: [...inputs], outputs, region: this.#region };
    for (const [index, { dtype, shape }] of results.entries()) {
      const updated = updates[index] === undefined ? null : rootState(inputs[updates[index]]!);
      const name = updated ? updated.name : `${op}.${this.#nextId}`;
      outputs.push({ trace: this, id: this.#nextId++, name, dtype, shape, kind: 'value', node, index });
    }
    this.nodes.push(node);
    return outputs;
  }

  /** The graph recorded so far. */
  finish(): Graph {
    return {
      inputs: [...this.#inputs.values()],
      states: [...this.#states.values()],
      nodes: [...this.nodes],
      outputs: new Map(this.#outputs),
    };
  }

  #declare(known: Map<string, Tensor>, kind: 'input' | 'state', name: string, dtype: DType, shape: Shape): Tensor {
    const old = known.get(name);
    if (old) {
      if (kind === 'state' && old.dtype === dtype && String(old.shape) === String(shape)) return old;
      throw new ShapeError(`${name}: already declared as ${old.dtype} [${old.shape.join(', ')}]`);
    }
    const tensor: Tensor = {
      trace: this,
      id: this.#nextId++,
      name,
      dtype,
      shape: [...shape],
      kind,
      node: null,
      index: 0,
    };
    known.set(name, tensor);
    return tensor;
  }
}

/** The state whose memory a tensor is (itself, or a later version made by a state update); null for other tensors. */
export function rootState(tensor: Tensor): Tensor | null {
  let current = tensor;
  while (current.node) {
    const updated = stateUpdates[current.node.op]?.[current.index];
    if (updated === undefined) return null;
    current = current.node.inputs[updated]!;
  }
  return current.kind === 'state' ? current : null;
}

/** Traces `body` into a graph; whatever it names with `trace.output` is returned by every run. */
export function trace(body: (trace: Trace) => void): Graph {
  const recording = new Trace();
  body(recording);
  return recording.finish();
}
