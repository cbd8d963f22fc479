/** What a server's memory comes down to under load. Knows the metrics page and /proc, not what the load is. */
import { readFileSync } from 'node:fs';
import type { SoakClient } from './soak-actions.ts';

const LEAK_SHARE = 1.1;
const LEAK_MIB = 16;

interface LowPoints {
  readonly secondQuarter: number;
  readonly lastQuarter: number;
  readonly highest: number;
  readonly isFlat: boolean;
}

/**
 * The lowest of samples in MiB, in the second quarter of a run and in the last. Garbage that was not collected yet comes and goes with the
 * load; what leaks stays, so the low points count.
 */
export function lowPoints(mib: readonly number[]): LowPoints {
  const quarter = mib.length >> 2;
  const secondQuarter = Math.min(...mib.slice(quarter, 2 * quarter));
  const lastQuarter = Math.min(...mib.slice(-quarter));
  const isFlat = lastQuarter <= secondQuarter * LEAK_SHARE + LEAK_MIB;
  return { secondQuarter, lastQuarter, highest: Math.max(...mib), isFlat };
}

/** MiB of a process that are in memory. */
export function residentMib(pid: number): number {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0; // none while it ends
  return Math.round(Number(kib) / 1024);
}

function metric(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? NaN);
}

/** MiB that JavaScript holds in the server: objects, and memory behind them. */
export async function heapMib(client: SoakClient): Promise<number> {
  const text = await (await client.get('/metrics')).text();
  return Math.round(
    (metric(text, 'nodejs_heap_size_used_bytes') + metric(text, 'nodejs_external_memory_bytes')) / 2 ** 20,
  );
}
