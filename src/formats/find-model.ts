/**
 * Where the model that a name means lies on this machine: a path, or a Hugging Face id that was pulled before.
 * Never asks the network.
 */
import { existsSync } from 'node:fs';
import { FormatError } from '../util/errors.ts';
import { cachedModel } from './hub.ts';
import { parseModelId } from './hub-id.ts';
import { hubSettings } from './hub-settings.ts';

/** A path for openCheckpoint; what exists as a path is one. Throws a FormatError for an id that is not in the cache. */
export async function findModel(name: string, env: Readonly<Record<string, string | undefined>>): Promise<string> {
  if (existsSync(name)) return name;
  const id = parseModelId(name);
  if (id === null) return name; // opening it says what is wrong
  const settings = await hubSettings(env);
  const found = await cachedModel(id, settings);
  if (found !== null) return found.path;
  throw new FormatError(
    `${name}: is no path, and no such model is in ${settings.cacheFolder}; run cria pull ${name} if it is a Hugging Face id`,
  );
}
