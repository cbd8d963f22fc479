/**
 * Executables of a model by the shape of the step, the least recently used given back first. Tracing and planning a step costs milliseconds;
 * decoding repeats few shapes.
 */
import type { Executable } from '../runtime/backend.ts';
import type { StepShape } from './step-graph.ts';

/** Plans that are kept. */
export const MAX_PLANS = 64;

/** Makes executables on demand and keeps the last used ones. */
export class PlanCache {
  readonly #make: (shape: StepShape) => Executable;
  readonly #plans = new Map<string, Executable>(); // the least recently used first

  constructor(make: (shape: StepShape) => Executable) {
    this.#make = make;
  }

  /** Whether the executable for this shape is there already. */
  has(shape: StepShape): boolean {
    return this.#plans.has(keyOf(shape));
  }

  /** The executable for this shape. */
  get(shape: StepShape): Executable {
    const key = keyOf(shape);
    const plan = this.#plans.get(key) ?? this.#make(shape);
    this.#plans.delete(key);
    this.#plans.set(key, plan);
    if (this.#plans.size > MAX_PLANS) this.#drop(this.#plans.keys().next().value!);
    return plan;
  }

  /** Gives all executables back. */
  clear(): void {
    for (const key of this.#plans.keys()) this.#drop(key);
  }

  #drop(key: string): void {
    this.#plans.get(key)!.dispose();
    this.#plans.delete(key);
  }
}

function keyOf({ numTokens, numSegments, numEntries, numRows, numHiddenRows }: StepShape): string {
  return `${numTokens}/${numSegments}/${numEntries}/${numRows}/${numHiddenRows}`;
}
