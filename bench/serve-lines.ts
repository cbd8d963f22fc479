/**
 * The other end of a LineProcess: answers each line on stdin, the name of a piece of work, with one line of JSON.
 */
import { createInterface } from 'node:readline';
import { UsageError } from '../src/util/errors.ts';

export type Answers = Readonly<Record<string, () => unknown>>;

/** Serves until stdin ends. */
export async function serveLines(answers: Answers): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const answer = answers[line];
    if (!answer) throw new UsageError(`unknown request "${line}": use one of ${Object.keys(answers).join(', ')}`);
    console.log(JSON.stringify(await answer()));
  }
}
