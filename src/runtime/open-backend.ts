/**
 * Which backend to run on: what CRIA_BACKEND or the caller says, else the native one, else, with one line that says so, the reference.
 * Another line tells of more threads than processors.
 */
import { ConfigError } from '../util/errors.ts';
import { availableProcessors } from './available-processors.ts';
import type { Backend } from './backend.ts';
import { createNativeBackend } from './native.ts';
import { nativeUnavailableReason } from './native-addon.ts';
import { createReferenceBackend } from './reference.ts';

const BACKEND_NAMES = ['native', 'reference'] as const;

/**
 * Opens a backend; `warn` gets one line when the native one was not asked for by name and cannot be used, or has more threads than this process
 * has processors.
 */
export function openBackend(warn: (line: string) => void, wanted = process.env['CRIA_BACKEND'] ?? null): Backend {
  switch (wanted) {
    case 'native':
      return openNative(warn);
    case 'reference':
      return createReferenceBackend({ precision: 'float32' });
    case null:
    case '': {
      const reason = nativeUnavailableReason();
      if (reason === null) return openNative(warn);
      warn(`slow: running on the reference backend, as ${reason}`);
      return createReferenceBackend({ precision: 'float32' });
    }
    default:
      throw new ConfigError(`unknown backend "${wanted}": use one of ${BACKEND_NAMES.join(', ')}`);
  }
}

function openNative(warn: (line: string) => void): Backend {
  const backend = createNativeBackend();
  const processors = availableProcessors();
  if (backend.threads > processors) {
    const there = processors === 1 ? '1 processor' : `${processors} processors`;
    warn(`slow: ${backend.threads} threads wait for each other on ${there}; set CRIA_THREADS to at most ${processors}`);
  }
  return backend;
}
