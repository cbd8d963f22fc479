/**
 * Where the model that `npm start` trains is kept: the run folder that MODEL `nano` means.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Folder in the user's cache: $CRIA_CACHE, else $XDG_CACHE_HOME/cria, else ~/.cache/cria. */
export function nanoFolder(env: Readonly<Record<string, string | undefined>>): string {
  const cache = env['CRIA_CACHE'] || join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'cria');
  return join(cache, 'nano');
}
