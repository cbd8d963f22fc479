/**
 * Loading: `npx tsx bench/load.ts --model FILE.gguf --rounds N`: from an open process to a model that has computed its first token, ours with packed
 * weights in the cache beside llama.cpp (node-llama-cpp) on the same file, in turn, a new process each round; and the largest memory of each.
 */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { UsageError } from '../src/util/errors.ts';
import { peerScript } from './peers/python.ts';

interface Loaded {
  readonly load_ms: number;
  readonly first_token_ms: number;
  readonly peak_mib: number;
}

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    context: { type: 'string', default: '2048' },
  },
});
if (!flags.model) throw new UsageError('name a GGUF file with --model');

const SCRIPTS = {
  cria: new URL('load-contender.ts', import.meta.url).pathname,
  'llama.cpp': peerScript('llama-load.ts'),
};

function start(script: string): Loaded {
  const args = ['--import', 'tsx', script, flags.model!, flags.context];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new UsageError(`${script} failed: ${stderr.trim()}`);
  return JSON.parse(stdout) as Loaded;
}

start(SCRIPTS.cria); // packs the weights if they are not in the cache yet
const best = new Map<string, Loaded>();
for (let round = 0; round < Number(flags.rounds); round++) {
  for (const [name, script] of Object.entries(SCRIPTS)) {
    const [given, before] = [start(script), best.get(name) ?? start(script)];
    const least = (key: keyof Loaded) => Math.min(given[key], before[key]);
    best.set(name, {
      load_ms: least('load_ms'),
      first_token_ms: least('first_token_ms'),
      peak_mib: least('peak_mib'),
    });
  }
}
const [ours, theirs] = [best.get('cria')!, best.get('llama.cpp')!];
for (const key of ['load_ms', 'first_token_ms', 'peak_mib'] as const) {
  console.log(
    `${key}: cria ${ours[key].toFixed(0)}, llama.cpp ${theirs[key].toFixed(0)}, ratio ${(ours[key] / theirs[key]).toFixed(2)}`,
  );
}
