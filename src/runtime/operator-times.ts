/** Where the time of plans went, operator by operator: what a backend counts, and a table of it. */

/** Time spent in one operator. */
export interface OperatorTime {
  readonly op: string;
  readonly calls: number;
  readonly seconds: number;
}

/** A table of the time per operator, the most expensive first. */
export function renderProfile(times: readonly OperatorTime[]): string {
  const total = times.reduce((sum, { seconds }) => sum + seconds, 0);
  const rows = times.map(
    ({ op, calls, seconds }) =>
      `${op.padEnd(20)} ${String(calls).padStart(9)} ${(seconds * 1e3).toFixed(1).padStart(11)} ${((100 * seconds) / total).toFixed(1).padStart(6)}`,
  );
  return ['operator                 calls          ms      %', ...rows, ''].join('\n');
}
