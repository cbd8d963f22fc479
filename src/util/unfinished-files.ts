/**
 * Files and folders that are being written under a temporary name: a signal that ends the process removes them first.
 * Does not decide what a signal means: where somebody else listens for it, nothing happens here.
 */
import { rmSync } from 'node:fs';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const unfinished = new Set<string>();

/** Has `path` removed if a signal ends the process; call what is returned once it has its real name or is gone. */
export function markUnfinished(path: string): () => void {
  // First in line: who listens too may stop listening while the signal is handed out.
  if (unfinished.size === 0) for (const name of SIGNALS) process.prependListener(name, endBySignal);
  unfinished.add(path);
  return () => {
    unfinished.delete(path);
    if (unfinished.size === 0) stopListening();
  };
}

function endBySignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  for (const path of unfinished) rmSync(path, { recursive: true, force: true });
  stopListening();
  process.kill(process.pid, signal); // as if nobody had listened
}

function stopListening(): void {
  for (const name of SIGNALS) process.off(name, endBySignal);
}
