/**
 * Packed weights as a file that is mapped into memory instead of read. Knows nothing of where such files lie.
 *
 * Layout, little-endian: 8 bytes of magic, u32 version, u32 length of the header, the header (JSON), then each tensor in the backend's
 * layout at a multiple of PAGE_BYTES. The header says all that the tensors depend on, so a file is valid if it begins with the very bytes
 * that would be written now and is as long.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { Backend, Storage } from '../runtime/backend.ts';
import type { StateStore } from '../runtime/compile.ts';
import { byteLength } from '../tensor/dtype.ts';
import { writeFileAtomic } from '../util/atomic-file.ts';
import type { FileIdentity } from './source-identity.ts';
import type { WeightForm, WeightStates } from './weight-states.ts';

/** To be raised whenever a panel's layout or the way values are rounded into it changes (kernels/quantised.h, quantised-pack.cpp). */
const LAYOUT_VERSION = 3;
const MAGIC = 'criapack';
/** The largest pages of the processors that cria runs on. */
const PAGE_BYTES = 2 ** 14;

/** What packed weights depend on. */
export interface PackedIdentity {
  readonly source: readonly FileIdentity[];
  readonly form: WeightForm;
  /** Rounding may differ between instruction sets in the last place. */
  readonly isa: string;
}

interface Layout {
  readonly header: Buffer;
  readonly offsets: ReadonlyMap<string, number>;
  readonly fileBytes: number;
}

function layoutOf(identity: PackedIdentity, types: WeightStates): Layout {
  const tensors = [...types].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const json = Buffer.from(JSON.stringify({ ...identity, tensors }));
  const prefix = Buffer.alloc(MAGIC.length + 8);
  prefix.write(MAGIC, 'latin1');
  prefix.writeUInt32LE(LAYOUT_VERSION, MAGIC.length);
  prefix.writeUInt32LE(json.length, MAGIC.length + 4);
  const header = Buffer.concat([prefix, json]);
  const offsets = new Map<string, number>();
  let end = header.length;
  for (const [name, { dtype, shape }] of types) {
    offsets.set(name, Math.ceil(end / PAGE_BYTES) * PAGE_BYTES);
    end = offsets.get(name)! + byteLength(dtype, shape);
  }
  return { header, offsets, fileBytes: end };
}

export type MapResult = { readonly states: StateStore } | { readonly problem: 'missing' | 'stale' };

/** The weights of a packed file as states; `stale` if it is damaged or was made from other weights or for another layout. */
export function mapPackedFile(
  path: string,
  identity: PackedIdentity,
  types: WeightStates,
  backend: Backend,
): MapResult {
  const file = openOrNull(path);
  if (file === null) return { problem: 'missing' };
  try {
    const { header, offsets, fileBytes } = layoutOf(identity, types);
    const found = Buffer.alloc(header.length);
    const isValid =
      fstatSync(file).size === fileBytes &&
      readSync(file, found, 0, found.length, 0) === found.length &&
      found.equals(header);
    if (!isValid) return { problem: 'stale' };
    const states: StateStore = new Map();
    for (const [name, { dtype, shape }] of types) {
      const storage = backend.mapStorage(dtype, shape, file, offsets.get(name)!);
      if (storage === null) return { problem: 'missing' };
      states.set(name, storage);
    }
    return { states };
  } finally {
    closeSync(file);
  }
}

function openOrNull(path: string): number | null {
  try {
    return openSync(path, 'r');
  } catch {
    return null;
  }
}

/** Writes the packed weights among `states`; throws what the file system says. */
export async function writePackedFile(
  path: string,
  identity: PackedIdentity,
  types: WeightStates,
  states: ReadonlyMap<string, Storage>,
): Promise<void> {
  const { header, offsets } = layoutOf(identity, types);
  await writeFileAtomic(path, async (sink) => {
    await sink.write(header);
    for (const name of types.keys()) {
      await sink.write(new Uint8Array(offsets.get(name)! - sink.position));
      await sink.write(states.get(name)!.bytes!);
    }
  });
}
