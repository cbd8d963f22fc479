/**
 * Where models are downloaded from and kept, from the environment variables that Hugging Face's Python tools use too.
 * Source: huggingface_hub docs, package_reference/environment_variables.
 */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from '../util/errors.ts';

export interface HubSettings {
  /** Base URL without a slash at its end. */
  readonly endpoint: string;
  readonly token: string | null;
  /** Shared with Python tools: holds `models--org--name` folders. */
  readonly cacheFolder: string;
  readonly isOffline: boolean;
}

const DEFAULT_ENDPOINT = 'https://huggingface.co';

/** Settings of this environment; a token saved by `hf auth login` counts if HF_TOKEN is not set. */
export async function hubSettings(env: Readonly<Record<string, string | undefined>>): Promise<HubSettings> {
  const cacheHome = env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const home = expanded(env['HF_HOME'] ?? join(cacheHome, 'huggingface'), env);
  const endpoint = (env['HF_ENDPOINT'] || DEFAULT_ENDPOINT).replace(/\/+$/, '');
  if (!URL.canParse(endpoint)) throw new UsageError(`HF_ENDPOINT is no URL: ${endpoint}`);
  const isOffline = /^(1|on|yes|true)$/i.test(env['HF_HUB_OFFLINE'] || env['TRANSFORMERS_OFFLINE'] || '');
  const tokenPath = expanded(env['HF_TOKEN_PATH'] ?? join(home, 'token'), env);
  const token = env['HF_TOKEN']?.trim() || env['HUGGING_FACE_HUB_TOKEN']?.trim() || (await savedToken(tokenPath));
  const cacheFolder = expanded(env['HF_HUB_CACHE'] ?? env['HUGGINGFACE_HUB_CACHE'] ?? join(home, 'hub'), env);
  return { endpoint, token, cacheFolder, isOffline };
}

/** `~` and `$NAME` or `${NAME}` at their places, as Python's tools have it; files of settings reach us as no shell has seen them. */
function expanded(path: string, env: Readonly<Record<string, string | undefined>>): string {
  const absolute = path.replace(/^~(?=$|[/\\])/, () => env['HOME'] ?? homedir());
  return absolute.replace(
    /\$(?:(\w+)|\{(\w+)\})/g,
    (all, bare?: string, braced?: string) => env[(bare ?? braced)!] ?? all,
  );
}

async function savedToken(path: string): Promise<string | null> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trim() || null;
}
