/**
 * What every backend refuses before it runs a plan: inputs that the plan does not know, and ones that are missing.
 */
import { ShapeError } from '../util/errors.ts';

/** Throws ShapeError unless exactly the inputs of a plan are given. */
export function checkInputNames(known: ReadonlyMap<string, unknown>, given: Readonly<Record<string, unknown>>): void {
  const unknown = Object.keys(given).filter((name) => !known.has(name));
  if (unknown.length > 0)
    throw new ShapeError(
      `unknown input ${unknown.join(', ')}; this plan takes ${[...known.keys()].join(', ') || 'none'}`,
    );
  for (const name of known.keys()) if (!given[name]) throw new ShapeError(`input ${name} is missing`);
}
