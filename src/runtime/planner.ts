/**
 * From a graph to a plan: who shares memory with whom, and where in the arena everything lies.
 * Large tensors are placed first, each at the lowest offset where no tensor alive at the same time lies (greedy by size,
 * arXiv:2001.03288); outputs reuse the memory of inputs that end with them where the operator allows it; a value that
 * replaces a state is computed straight into the state.
 */
import { invariant } from '../util/errors.ts';
import { byteLength } from '../tensor/dtype.ts';
import { type Graph, type Node, rootState, type Tensor } from '../tensor/graph.ts';
import { inPlace, stateUpdates } from '../tensor/operators.ts';
import { countUses } from '../tensor/rewrite.ts';
import { ALIGNMENT_BYTES, type Instruction, type Operand, type Plan } from './plan.ts';

/** A piece of memory: a state's buffer, or a stretch of the arena that is taken from node `first` to node `last`. */
interface Place {
  readonly state: Tensor | null;
  readonly sizeBytes: number;
  first: number;
  last: number;
  byteOffset: number;
}

/** Plans `graph`; `workspaceBytes` tells the scratch memory a node's kernel wants. */
export function planGraph(graph: Graph, workspaceBytes: (node: Node) => number): Plan {
  const places = new Map<Tensor, Place>();
  const lastUse = lastUses(graph);
  for (const state of graph.states) places.set(state, statePlace(state));
  for (const input of graph.inputs) places.set(input, arenaPlace(input, -1, lastUse));
  placeInStates(graph, places);
  for (const [i, node] of graph.nodes.entries()) placeOutputs(node, i, places, lastUse);
  const workspaces = graph.nodes.map((node, i) => workspacePlace(workspaceBytes(node), i));
  const arenaBytes = arrange(
    [...new Set([...places.values(), ...workspaces.filter((place) => place !== null)])],
    graph.nodes.length,
  );
  const buffers = new Map(graph.states.map((state, i) => [state, i + 1]));
  const operand = (tensor: Tensor): Operand => {
    const place = places.get(tensor)!;
    const { dtype, shape } = tensor;
    return {
      buffer: place.state ? buffers.get(place.state)! : 0,
      byteOffset: place.byteOffset,
      byteLength: byteLength(dtype, shape),
      dtype,
      shape,
    };
  };
  const instructions: Instruction[] = [];
  for (const [i, node] of graph.nodes.entries()) {
    if (node.op === 'assign' && places.get(node.inputs[1]!)!.state === rootState(node.inputs[0]!)) continue;
    const inputs = node.inputs.map((input) => input && operand(input));
    instructions.push({
      op: node.op,
      attrs: node.attrs,
      inputs,
      outputs: node.outputs.map(operand),
      workspace: workspaceOperand(workspaces[i]!),
    });
  }
  return {
    states: graph.states.map((state) => state.name),
    inputs: new Map(graph.inputs.map((input) => [input.name, operand(input)])),
    outputs: new Map([...graph.outputs].map(([name, tensor]) => [name, operand(tensor)])),
    instructions,
    arenaBytes,
  };
}

function statePlace(state: Tensor): Place {
  return { state, sizeBytes: byteLength(state.dtype, state.shape), first: -1, last: Infinity, byteOffset: 0 };
}

function arenaPlace(tensor: Tensor, first: number, lastUse: ReadonlyMap<Tensor, number>): Place {
  const sizeBytes = byteLength(tensor.dtype, tensor.shape);
  return { state: null, sizeBytes, first, last: lastUse.get(tensor) ?? first, byteOffset: 0 };
}

function workspacePlace(sizeBytes: number, at: number): Place | null {
  return sizeBytes > 0 ? { state: null, sizeBytes, first: at, last: at, byteOffset: 0 } : null;
}

function workspaceOperand(place: Place | null): Operand | null {
  return (
    place && {
      buffer: 0,
      byteOffset: place.byteOffset,
      byteLength: place.sizeBytes,
      dtype: 'f32',
      shape: [Math.floor(place.sizeBytes / 4)],
    }
  );
}

/** Index of the last node that reads each tensor; Infinity for outputs. */
function lastUses(graph: Graph): Map<Tensor, number> {
  const lastUse = new Map<Tensor, number>();
  for (const [i, node] of graph.nodes.entries()) for (const input of node.inputs) if (input) lastUse.set(input, i);
  for (const tensor of graph.outputs.values()) lastUse.set(tensor, Infinity);
  return lastUse;
}

/**
 * For every assign(state, value): puts value, and what it is computed on top of, into the state's own memory, as far back as
 * nothing else still reads the state's old values.
 */
function placeInStates(graph: Graph, places: Map<Tensor, Place>): void {
  const uses = countUses(graph);
  const position = new Map(graph.nodes.map((node, i) => [node, i]));
  for (const [assignAt, assign] of graph.nodes.entries()) {
    if (assign.op !== 'assign') continue;
    const old = assign.inputs[0]!;
    const statePlaceOfOld = places.get(rootState(old)!)!;
    for (let value: Tensor | null = assign.inputs[1]!; value?.node && !places.has(value) && uses.get(value) === 1;) {
      const producer: Node = value.node;
      if (!canComputeInto(graph, value, old, position.get(producer)!, assignAt)) break;
      places.set(value, statePlaceOfOld);
      value = inPlaceInput(
        value,
        (input) => input.kind === 'value' && byteLength(input.dtype, input.shape) === statePlaceOfOld.sizeBytes,
      );
    }
  }
}

/** No node from `from` to `until` touches the state in any version, but the producer of `value` may read `old` where it can work in place. */
function canComputeInto(graph: Graph, value: Tensor, old: Tensor, from: number, until: number): boolean {
  const state = rootState(old);
  for (let i = from; i < until; i++) {
    const node = graph.nodes[i]!;
    const reads = node.inputs.filter((input) => input && rootState(input) === state);
    if (reads.length === 0) continue;
    const inPlaceRead = node === value.node && inPlaceInput(value, (input) => input === old) === old;
    if (!inPlaceRead || reads.length > 1) return false;
  }
  return true;
}

/** The input of a value's operator whose memory the value may take over, among those that fit. */
function inPlaceInput(value: Tensor, fits: (input: Tensor) => boolean): Tensor | null {
  for (const [output, i] of inPlace[value.node!.op] ?? []) {
    const input = value.node!.inputs[i];
    if (output === value.index && input && fits(input)) return input;
  }
  return null;
}

function placeOutputs(node: Node, at: number, places: Map<Tensor, Place>, lastUse: ReadonlyMap<Tensor, number>): void {
  for (const output of node.outputs) {
    const updated = stateUpdates[node.op]?.[output.index];
    if (updated !== undefined) {
      places.set(output, places.get(node.inputs[updated]!)!);
      continue;
    }
    if (places.has(output)) continue;
    const size = byteLength(output.dtype, output.shape);
    const reused = inPlaceInput(output, (input) => {
      const place = places.get(input)!;
      const readers = node.inputs.filter((other) => other && places.get(other) === place).length;
      const taken = node.outputs.some((other) => places.get(other) === place);
      return !place.state && place.last === at && place.sizeBytes === size && readers === 1 && !taken;
    });
    if (!reused) {
      places.set(output, arenaPlace(output, at, lastUse));
      continue;
    }
    const place = places.get(reused)!;
    place.last = Math.max(place.last, lastUse.get(output) ?? at);
    places.set(output, place);
  }
}

/** Gives every arena place its offset; returns the bytes of the arena. */
function arrange(places: readonly Place[], numNodes: number): number {
  const waiting = places.filter((place) => !place.state && place.sizeBytes > 0);
  waiting.sort((a, b) => b.sizeBytes - a.sizeBytes || a.first - b.first);
  const placed = new PlacedByTime(numNodes);
  let arenaBytes = 0;
  for (const place of waiting) {
    let offset = 0;
    for (const other of placed.during(place)) {
      if (other.byteOffset - offset >= place.sizeBytes) break;
      offset = Math.max(offset, roundUp(other.byteOffset + other.sizeBytes));
    }
    place.byteOffset = offset;
    placed.add(place);
    arenaBytes = Math.max(arenaBytes, roundUp(offset + place.sizeBytes));
  }
  invariant(Number.isSafeInteger(arenaBytes), `internal: an arena of ${arenaBytes} bytes`);
  return arenaBytes;
}

/** A place that is taken for more nodes than this is compared with all others, and all with it. */
const SHORT_LIFE = 8;

/** Places that have an offset, found by the nodes during which they are taken: most meet few others. */
class PlacedByTime {
  readonly #long: Place[] = [];
  readonly #short: Place[] = [];
  readonly #shortAtNode: Place[][];

  constructor(numNodes: number) {
    this.#shortAtNode = Array.from({ length: numNodes }, () => []);
  }

  add(place: Place): void {
    if (!isShort(place)) this.#long.push(place);
    else {
      this.#short.push(place);
      for (let at = place.first; at <= place.last; at++) this.#shortAtNode[at]!.push(place);
    }
  }

  /** Those that are taken while `place` is, by offset. */
  during(place: Place): Place[] {
    const { first, last } = place;
    const meets = (other: Place): boolean => other.first <= last && other.last >= first;
    const met = this.#long.filter(meets);
    if (!isShort(place)) met.push(...this.#short.filter(meets));
    else for (const other of new Set(this.#shortAtNode.slice(first, last + 1).flat())) met.push(other);
    return met.toSorted((a, b) => a.byteOffset - b.byteOffset);
  }
}

/** Inputs are taken from before the first node on, outputs until after the last: neither is short. */
function isShort({ first, last }: Place): boolean {
  return first >= 0 && last - first < SHORT_LIFE;
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}
