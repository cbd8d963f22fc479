/**
 * Progress of long work in bytes: one line that is rewritten where a person watches, else a line at every tenth of the way.
 */
import { renderFileSize, renderDuration } from './format.ts';
import { type CommandIo, logLine } from './io.ts';

export interface ProgressLine {
  /** How far the work is; `what` is being worked on. */
  show(what: string, doneBytes: number, totalBytes: number): void;
  /** Clears the line. */
  end(): void;
}

const MIN_INTERVAL_MS = 100;
const CLEAR_TO_END = '\u001b[K';

/** A progress line on stderr; `nowMs` is a clock. */
export function progressLine(io: CommandIo, verb: string, nowMs: () => number = () => performance.now()): ProgressLine {
  const startMs = nowMs();
  const isWatched = io.stderr.isTTY === true;
  let startBytes: number | null = null; // done before this run: they say nothing about its speed
  let shownAtMs = -Infinity;
  let tenths = 0;
  return {
    show(what, doneBytes, totalBytes) {
      startBytes ??= doneBytes;
      const share = totalBytes === 0 ? 1 : doneBytes / totalBytes;
      const seconds = (nowMs() - startMs) / 1000;
      const amount = `${verb} ${Math.floor(100 * share)} % of ${renderFileSize(totalBytes)}`;
      if (isWatched) {
        if (nowMs() - shownAtMs < MIN_INTERVAL_MS) return;
        shownAtMs = nowMs();
        const pace = paceOf(doneBytes - startBytes, totalBytes - doneBytes, seconds);
        const line = `${amount}${pace}  ${what}`;
        io.stderr.write(`\r${line.slice(0, (io.stderr.columns ?? 80) - 1)}${CLEAR_TO_END}`);
      } else if (Math.floor(10 * share) > tenths) {
        tenths = Math.floor(10 * share);
        logLine(io, amount);
      }
    },
    end() {
      if (isWatched && shownAtMs > -Infinity) io.stderr.write(`\r${CLEAR_TO_END}`);
    },
  };
}

function paceOf(doneBytes: number, leftBytes: number, seconds: number): string {
  if (doneBytes <= 0 || seconds < 1) return '';
  const bytesPerSecond = doneBytes / seconds;
  return `, ${renderFileSize(bytesPerSecond)}/s, ${renderDuration(leftBytes / bytesPerSecond)} left`;
}
