/**
 * From a traced graph to something that runs: passes, check, plan, backend.
 */
import { invariant } from '../util/errors.ts';
import { checkGraph } from '../tensor/check.ts';
import type { DType, Shape } from '../tensor/dtype.ts';
import type { Graph } from '../tensor/graph.ts';
import { reshape } from '../tensor/rewrite.ts';
import type { Backend, Executable, Storage } from './backend.ts';
import { optimise } from './passes.ts';
import { planGraph } from './planner.ts';
import type { Plan } from './plan.ts';

/** States by name: parameters, gradients, moments, caches. */
export type StateStore = Map<string, Storage>;

/** The plan of a graph on a backend, without loading it: tells what it will need. */
export function planFor(graph: Graph, backend: Pick<Backend, 'workspaceBytes'>): Plan {
  const optimised = optimise(graph);
  checkGraph(optimised);
  return planGraph(optimised, (node) => backend.workspaceBytes(node));
}

/** Makes a graph executable; every state it names must be in `states` with the same type. */
export function compile(graph: Graph, backend: Backend, states: ReadonlyMap<string, Storage>): Executable {
  checkStates(graph, states);
  return backend.load(planFor(graph, backend), states);
}

/**
 * Makes a graph executable at any shapes of its inputs, by name; what does not depend on them is done once. Somebody waits for it, so what
 * passes made of the graph is not checked here: tests compare its plans with those of `planFor`.
 */
export function compileReshapable(
  graph: Graph,
  backend: Backend,
  states: ReadonlyMap<string, Storage>,
): (shapes: ReadonlyMap<string, Shape>) => Executable {
  checkStates(graph, states);
  const optimised = optimise(graph);
  return (shapes) =>
    backend.load(
      planGraph(reshape(optimised, shapes), (node) => backend.workspaceBytes(node)),
      states,
    );
}

function checkStates(graph: Graph, states: ReadonlyMap<string, Storage>): void {
  for (const { name, dtype, shape } of graph.states) {
    const storage = states.get(name);
    invariant(storage, `internal: there is no state ${name}`);
    const same = storage.dtype === dtype && String(storage.shape) === String(shape);
    invariant(
      same,
      `internal: state ${name} is ${storage.dtype} [${storage.shape.join(', ')}], the graph wants ${dtype} [${shape.join(', ')}]`,
    );
  }
}

/** Zeroed storage for each name that `states` does not hold yet. */
export function createStates(
  backend: Backend,
  states: StateStore,
  shapes: ReadonlyMap<string, Shape>,
  dtype: DType,
): void {
  for (const [name, shape] of shapes) if (!states.has(name)) states.set(name, backend.createStorage(dtype, shape));
}
