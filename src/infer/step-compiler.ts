/**
 * Steps of a model made executable. Graphs of steps differ in the shapes of their inputs alone, but for which outputs are wanted: each of
 * those few is traced and optimised once.
 */
import type { Executable } from '../runtime/backend.ts';
import { compileReshapable } from '../runtime/compile.ts';
import type { InferenceModel } from './model.ts';
import { stepGraph, stepInputs, type StepShape } from './step-graph.ts';

/** Makes the executable of a step's shape. */
export function stepCompiler(model: InferenceModel): (shape: StepShape) => Executable {
  const compilers = new Map<string, ReturnType<typeof compileReshapable>>();
  return (shape) => {
    const shapes = stepInputs(shape);
    const wanted = [...shapes.keys()].join();
    let compiler = compilers.get(wanted);
    if (compiler === undefined) {
      compiler = compileReshapable(stepGraph(model, shape), model.backend, model.states);
      compilers.set(wanted, compiler);
    }
    return compiler(shapes);
  };
}
