/**
 * Peers that live in npm packages. They are installed beside this file, not with cria (README.md), and imported by name at run time with
 * the few types that a bench declares itself, so that type checks need no peer.
 */
import { ConfigError } from '../../src/util/errors.ts';

/** The module `name` as the caller's own minimal type; a peer that is not installed is a ConfigError. */
export async function loadPeer<T>(name: string): Promise<T> {
  try {
    return (await import(name)) as T;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause;
    throw new ConfigError(`the peer ${name} is not installed: run "npm ci --prefix bench/peers"`, { cause });
  }
}
