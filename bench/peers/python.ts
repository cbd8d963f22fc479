/**
 * Peers that live in Python: which interpreter runs them. Nothing a user runs needs it.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { ConfigError } from '../../src/util/errors.ts';

const DEFAULT_PYTHON = path.join(import.meta.dirname, '.venv', 'bin', 'python');

const INSTALL =
  'make the environment with "python3 -m venv bench/peers/.venv && bench/peers/.venv/bin/pip install -r bench/peers/requirements.txt", ' +
  'or name a Python that has these packages in CRIA_PEERS_PYTHON';

/** The Python that has the peers: CRIA_PEERS_PYTHON, or the virtual environment beside this file; a ConfigError says how to get one. */
export function peersPython(): string {
  const named = process.env['CRIA_PEERS_PYTHON'];
  const python = named ?? DEFAULT_PYTHON;
  if (spawnSync(python, ['--version']).status === 0) return python;
  const problem = named
    ? `CRIA_PEERS_PYTHON (${named}) does not run`
    : `there is no Python with the peers${existsSync(DEFAULT_PYTHON) ? ' that runs' : ''}`;
  throw new ConfigError(`${problem}: ${INSTALL}`);
}

/** Path of a script beside this file. */
export function peerScript(name: string): string {
  return path.join(import.meta.dirname, name);
}
