/**
 * Which backend to run on: what CRIA_BACKEND or the caller says, else the native one, else, with one line that says so, the reference.
 */
import { ConfigError } from '../util/errors.ts';
import type { Backend } from './backend.ts';
import { createNativeBackend } from './native.ts';
import { nativeUnavailableReason } from './native-addon.ts';
import { createReferenceBackend } from './reference.ts';

const BACKEND_NAMES = ['native', 'reference'] as const;

/** Opens a backend; `warn` gets one line when the native one was not asked for by name and cannot be used. */
export function openBackend(warn: (line: string) => void, wanted = process.env['CRIA_BACKEND'] ?? null): Backend {
  switch (wanted) {
    case 'native':
      return createNativeBackend();
    case 'reference':
      return createReferenceBackend({ precision: 'float32' });
    case null:
    case '': {
      const reason = nativeUnavailableReason();
      if (reason === null) return createNativeBackend();
      warn(`slow: running on the reference backend, as ${reason}`);
      return createReferenceBackend({ precision: 'float32' });
    }
    default:
      throw new ConfigError(`unknown backend "${wanted}": use one of ${BACKEND_NAMES.join(', ')}`);
  }
}
