/**
 * Changing single values of a configuration: `a.b=v` from the command line, and partial JSON from files. What a configuration may hold is known
 * from its schema and from the recipe it starts from; anything else is refused with a list of what is known.
 */
import type { z } from 'zod';
import { ConfigError } from '../util/errors.ts';

type Json = Readonly<Record<string, unknown>>;

/** `base` with the values of `partial`, key by key; `where` names the origin in the ConfigError for an unknown key. */
export function mergeConfig(base: Json, partial: unknown, where: string): Json {
  return mergeAt(base, partial, where, '', base);
}

/** `base` with one value changed, given as `a.b=v`; v is JSON, or else a plain string. */
export function applySetting(base: Json, assignment: string): Json {
  const at = assignment.indexOf('=');
  const path = assignment.slice(0, at).trim();
  if (at < 1 || path === '') throw new ConfigError(`--set ${assignment}: write it as key=value, like train.steps=100`);
  const value = parseValue(assignment.slice(at + 1));
  const nested = path.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);
  return mergeConfig(base, nested, `--set ${assignment}`);
}

/** The configuration as its type; a ConfigError lists every value that does not fit. */
export function checkConfig<T>(schema: z.ZodType<T>, config: unknown, where: string): T {
  const result = schema.safeParse(config);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join('.') || '(top)'}: ${issue.message}`);
  throw new ConfigError(`${where}: ${problems.join('; ')}`);
}

/** The paths of all values, like `train.steps`. */
export function settingPaths(config: Json, prefix = ''): string[] {
  return Object.entries(config).flatMap(([key, value]) =>
    isObject(value) ? settingPaths(value, `${prefix}${key}.`) : [`${prefix}${key}`],
  );
}

/** Values that differ between two configurations of one schema, as `train.steps (was 10, is 20)`. */
export function configDifferences(old: Json, current: Json, prefix = ''): string[] {
  return [...new Set([...Object.keys(old), ...Object.keys(current)])].flatMap((key) => {
    const [a, b] = [old[key], current[key]];
    if (isObject(a) && isObject(b)) return configDifferences(a, b, `${prefix}${key}.`);
    const same = JSON.stringify(a) === JSON.stringify(b);
    return same ? [] : [`${prefix}${key} (was ${JSON.stringify(a)}, is ${JSON.stringify(b)})`];
  });
}

function mergeAt(base: Json, partial: unknown, where: string, prefix: string, root: Json): Json {
  if (!isObject(partial)) {
    const what = prefix === '' ? 'the configuration' : prefix.slice(0, -1);
    throw new ConfigError(`${where}: ${what} must be an object with the keys ${Object.keys(base).join(', ')}`);
  }
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(partial)) {
    if (!Object.hasOwn(base, key)) {
      throw new ConfigError(
        `${where}: there is no setting ${prefix}${key}; there are ${settingPaths(root).join(', ')}`,
      );
    }
    const old = base[key];
    merged[key] = isObject(old) ? mergeAt(old, value, where, `${prefix}${key}.`, root) : value;
  }
  return merged;
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
