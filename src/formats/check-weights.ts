/**
 * Compares the tensors a checkpoint holds with those its configuration asks for, and reports all differences at once.
 */
import { llamaWeightShapes, type LlamaConfig } from '../model/config.ts';
import { FormatError } from '../util/errors.ts';
import { STORED_DTYPES } from './stored-dtype.ts';
import { quoted, type TensorInfo } from './tensor-source.ts';

const MAX_NAMES = 200; // per kind of fault; more says nothing new

/**
 * Throws a FormatError naming every missing, unexpected or wrong tensor; names are shown as `shown` translates them.
 * `unexpected` are stored names that mean nothing in a Llama model.
 */
export function checkWeights(
  config: LlamaConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
  where: string,
  unexpected: readonly string[] = [],
  shown: (metaName: string) => string = (name) => name,
): void {
  const expected = llamaWeightShapes(config);
  const missing: string[] = [];
  const wrong: string[] = [];
  for (const [name, shape] of expected) {
    const info = tensors.get(name);
    if (info === undefined) missing.push(quoted(shown(name)));
    else if (info.shape.length !== shape.length || info.shape.some((size, i) => size !== shape[i])) {
      wrong.push(`${quoted(shown(name))} is [${info.shape}], expected [${shape}]`);
    } else if (!isFloat(info)) wrong.push(`${quoted(shown(name))} is ${info.dtype}, expected floating point`);
  }
  const surplus = [...unexpected, ...[...tensors.keys()].filter((name) => !expected.has(name)).map(shown)].map(quoted);
  const faults = [
    listed('missing tensors', missing),
    listed('wrong tensors', wrong),
    listed('unknown tensors', surplus),
  ];
  const message = faults.filter((fault) => fault !== null).join('; ');
  if (message !== '') throw new FormatError(`${where}: does not fit its configuration: ${message}`);
}

function isFloat({ dtype }: TensorInfo): boolean {
  return STORED_DTYPES[dtype].blockSize > 1 || dtype.includes('F');
}

function listed(kind: string, names: readonly string[]): string | null {
  if (names.length === 0) return null;
  const rest = names.length > MAX_NAMES ? `, and ${names.length - MAX_NAMES} more` : '';
  return `${kind} (${names.length}): ${names.slice(0, MAX_NAMES).join(', ')}${rest}`;
}
