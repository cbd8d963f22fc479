/**
 * Who may use the server: API keys from a file, compared in constant time. Only their digests are kept.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { ConfigError } from '../util/errors.ts';
import { ApiError } from './api-error.ts';

/** Digests of the keys that are let in, and a short name of each for the log. */
export type ApiKeys = readonly { readonly digest: Buffer; readonly name: string }[];

const MIN_KEY_LENGTH = 8;

/** Keys of a file: one a line, `#` begins a comment line. Throws ConfigError if there is none or one is short. */
export async function readApiKeys(path: string): Promise<ApiKeys> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError(`${path}: cannot be read (${error.code}); give a file with one API key a line`);
  });
  const lines = text.split('\n').map((line) => line.trim());
  const keys = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (keys.length === 0) throw new ConfigError(`${path}: holds no API key; write one a line`);
  return apiKeys(keys, path);
}

/** The same from the keys themselves; `where` names their source in errors. */
export function apiKeys(keys: readonly string[], where = 'API keys'): ApiKeys {
  return keys.map((key, i) => {
    if (key.length < MIN_KEY_LENGTH || !/^[\x21-\x7e]+$/.test(key)) {
      throw new ConfigError(
        `${where}: key ${i + 1} must be at least ${MIN_KEY_LENGTH} ASCII characters without white space`,
      );
    }
    return { digest: digestOf(key), name: `key-${i + 1}` };
  });
}

/** Name of the key that a request carries as `Authorization: Bearer` or `X-Api-Key`; throws a 401 if it is none of `keys`. */
export function authenticate(headers: Headers, keys: ApiKeys): string {
  const given = /^Bearer\s+(\S+)$/i.exec(headers.get('authorization') ?? '')?.[1] ?? headers.get('x-api-key');
  if (!given) {
    throw unauthorised('no API key was given; send it as "Authorization: Bearer KEY" or "X-Api-Key: KEY"');
  }
  const digest = digestOf(given);
  let name: string | null = null;
  for (const key of keys) if (timingSafeEqual(key.digest, digest)) name = key.name; // all of them, whichever fits
  if (name === null) throw unauthorised('this API key is not known here');
  return name;
}

function unauthorised(message: string): ApiError {
  return new ApiError(401, message, { reason: 'invalid_api_key' });
}

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
