/**
 * Names of models on the hub: `org/name`, `org/name@revision`, `org/name:file`, or all three.
 */
import { UsageError } from '../util/errors.ts';

export interface HubModelId {
  readonly repo: string;
  readonly revision: string;
  /** One file of the repository; null for what a model needs. */
  readonly file: string | null;
}

const PATTERN = /^([\w.-]+\/[\w.-]+)(?:@([^:@\s]+))?(?::(\S+))?$/;

/** The parts of a model id, or null if `text` does not look like one. */
export function parseModelId(text: string): HubModelId | null {
  const match = PATTERN.exec(text);
  if (match === null) return null;
  const [, repo = '', revision = 'main', file = null] = match;
  if (!isSafePath(repo) || !isSafePath(revision) || (file !== null && !isSafePath(file))) return null;
  return { repo, revision, file };
}

/** The parts of a model id; throws a UsageError that shows the form. */
export function requireModelId(text: string): HubModelId {
  const id = parseModelId(text);
  if (id === null)
    throw new UsageError(`"${text.slice(0, 100)}" is no model id; write it as org/name[@revision][:file]`);
  return id;
}

/** Whether a path from the hub stays inside the folder it is put in, on every platform. */
export function isSafePath(path: string): boolean {
  const parts = path.split('/');
  return parts.every((part) => part !== '' && part !== '.' && part !== '..' && !/[\\:\0-\x1f]/.test(part)); // eslint-disable-line no-control-regex
}
