/**
 * How many threads compute by default: as many as there are processors for this process, within the limits of its container, which Node 20
 * does not know of. A thread too many costs far more than it brings, for the others wait for it at every barrier.
 * Source: Linux kernel documentation, cgroup v2, cpu.max; cgroup v1, CFS bandwidth control.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Processors for this process, at least 1; `read` gives a file's text, null if it is not there. */
export function availableProcessors(
  read: (path: string) => string | null = readText,
  parallelism = availableParallelism(),
): number {
  return Math.max(1, Math.min(parallelism, Math.floor(quota(read) ?? Infinity)));
}

/** Processors' worth of time that the container may use; null without a limit. */
function quota(read: (path: string) => string | null): number | null {
  const [allowed, period] = (
    read('/sys/fs/cgroup/cpu.max') ??
    `${read('/sys/fs/cgroup/cpu/cpu.cfs_quota_us') ?? ''} ${read('/sys/fs/cgroup/cpu/cpu.cfs_period_us') ?? ''}`
  )
    .trim()
    .split(/\s+/)
    .map(Number);
  const processors = allowed! / period!;
  return processors > 0 ? processors : null; // 'max', -1 and what is missing are no limit
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
