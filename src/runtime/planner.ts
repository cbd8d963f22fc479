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
  const arenaBytes = arrange(new Set([...places.values(), ...workspaces.filter((place) => place !== null)]));
  const operands = operandsOf(graph, places);
  const instructions: Instruction[] = [];
  for (const [i, node] of graph.nodes.entries()) {
    if (node.op === 'assign' && places.get(node.inputs[1]!)!.state === rootState(node.inputs[0]!)) continue;
    instructions.push({
      op: node.op,
      attrs: node.attrs,
      inputs: node.inputs.map((input) => input && operands.get(input)!),
      outputs: node.outputs.map((output) => operands.get(output)!),
      workspace: workspaceOperand(workspaces[i]!),
    });
  }
  return {
    states: graph.states.map((state) => state.name),
    inputs: new Map(graph.inputs.map((input) => [input.name, operands.get(input)!])),
    outputs: new Map([...graph.outputs].map(([name, tensor]) => [name, operands.get(tensor)!])),
    instructions,
    arenaBytes,
  };
}

/** Where each tensor lies, now that its place has an offset. */
function operandsOf(graph: Graph, places: ReadonlyMap<Tensor, Place>): Map<Tensor, Operand> {
  const buffers = new Map(graph.states.map((state, i) => [state, i + 1]));
  const operands = new Map<Tensor, Operand>();
  for (const [tensor, { state, byteOffset }] of places) {
    const { dtype, shape } = tensor;
    const buffer = state ? buffers.get(state)! : 0;
    operands.set(tensor, { buffer, byteOffset, byteLength: byteLength(dtype, shape), dtype, shape });
  }
  return operands;
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
  if (!graph.nodes.some(({ op }) => op === 'assign')) return;
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
function arrange(places: Iterable<Place>): number {
  const waiting = [...places].filter((place) => !place.state && place.sizeBytes > 0);
  waiting.sort((a, b) => b.sizeBytes - a.sizeBytes || a.first - b.first);
  const placed: Place[] = []; // the lowest offset first
  let arenaBytes = 0;
  for (const place of waiting) {
    place.byteOffset = lowestOffset(place, placed);
    let at = placed.length;
    while (at > 0 && placed[at - 1]!.byteOffset > place.byteOffset) at--;
    placed.splice(at, 0, place);
    arenaBytes = Math.max(arenaBytes, endOf(place));
  }
  invariant(Number.isSafeInteger(arenaBytes), `internal: an arena of ${arenaBytes} bytes`);
  return arenaBytes;
}

/** Where `place` meets none of those that are taken at the same time; `placed` by offset. Hot: every pair of places may come here. */
function lowestOffset({ first, last, sizeBytes }: Place, placed: readonly Place[]): number {
  let offset = 0;
  for (let i = 0; i < placed.length; i++) {
    const other = placed[i]!;
    if (other.byteOffset >= offset + sizeBytes) break;
    if (other.first <= last && other.last >= first) offset = Math.max(offset, endOf(other));
  }
  return offset;
}

/** The first offset behind a place. */
function endOf({ byteOffset, sizeBytes }: Place): number {
  return Math.ceil((byteOffset + sizeBytes) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}
