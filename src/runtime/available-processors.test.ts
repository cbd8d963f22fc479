import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { it } from 'node:test';
import { availableProcessors } from './available-processors.ts';

const V2 = '/sys/fs/cgroup/cpu.max';
const QUOTA = '/sys/fs/cgroup/cpu/cpu.cfs_quota_us';
const PERIOD = '/sys/fs/cgroup/cpu/cpu.cfs_period_us';

it('as many threads compute as a container may use processors', () => {
  const cases: [Record<string, string>, number][] = [
    [{}, 16],
    [{ [V2]: 'max 100000\n' }, 16],
    [{ [V2]: '400000 100000\n' }, 4],
    [{ [V2]: '250000 100000\n' }, 2],
    [{ [V2]: '50000 100000\n' }, 1],
    [{ [V2]: '6400000 100000\n' }, 16],
    [{ [QUOTA]: '-1\n', [PERIOD]: '100000\n' }, 16],
    [{ [QUOTA]: '300000\n', [PERIOD]: '100000\n' }, 3],
  ];
  for (const [files, processors] of cases)
    assert.equal(
      availableProcessors((path) => files[path] ?? null, 16),
      processors,
      JSON.stringify(files),
    );
  const here = availableProcessors();
  assert.ok(here >= 1 && here <= availableParallelism());
});
