/**
 * Whether memory suffices, asked before it is taken: the system would hand out more than there is and end the process later.
 */
import { freemem } from 'node:os';
import { CapacityError } from '../util/errors.ts';

/** Bytes that this process may still take, within the limits of its container. */
function availableMemory(): number {
  return process.availableMemory?.() ?? freemem();
}

/** Throws CapacityError, saying how much `what` needs, unless `bytes` more bytes can be had. */
export function checkMemory(bytes: number, what: string, advice: string, available = availableMemory()): void {
  if (bytes <= available) return;
  throw new CapacityError(
    `${what} needs ${renderBytes(bytes)} of memory and ${renderBytes(available)} are available; ${advice}`,
  );
}

/** A size as people read it: '512 MiB', '14.9 GiB'. */
export function renderBytes(bytes: number): string {
  const gib = bytes / 2 ** 30;
  return gib >= 1 ? `${gib.toFixed(1)} GiB` : `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
