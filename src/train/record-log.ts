/**
 * A file of JSON records, one a line, each with the step it belongs to. It can be cut back to a step, so that a resumed run continues it
 * without duplicates; a record that a crash cut off goes too.
 */
import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';

export interface StepRecord {
  readonly step: number;
  readonly [key: string]: unknown;
}

export class RecordLog {
  readonly path: string;
  readonly #file: number;

  /** Opens the log for appending, keeping the records up to `lastStep`. */
  constructor(path: string, lastStep: number) {
    this.path = path;
    this.#file = openSync(path, 'a');
    ftruncateSync(this.#file, keptBytes(readFileSync(path), lastStep));
  }

  append(record: StepRecord): void {
    writeSync(this.#file, `${JSON.stringify(record)}\n`);
  }

  /** Forces what was appended to disk. */
  sync(): void {
    fsyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Length of the leading records that are whole and not later than `lastStep`. */
function keptBytes(contents: Buffer, lastStep: number): number {
  let kept = 0;
  for (let end = contents.indexOf('\n'); end >= 0; end = contents.indexOf('\n', kept)) {
    const step = stepOf(contents.toString('utf8', kept, end));
    if (step === null || step > lastStep) break;
    kept = end + 1;
  }
  return kept;
}

function stepOf(line: string): number | null {
  try {
    return (JSON.parse(line) as StepRecord).step;
  } catch {
    return null;
  }
}
