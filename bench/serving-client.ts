/**
 * The clients of bench/serving.ts, in a process of their own: reads one JSON line with a server's address and streams to run, and answers
 * with when each piece of each stream came, in milliseconds from the start.
 */
import { request } from 'node:http';
import { constants, setPriority } from 'node:os';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ClientStream {
  /** When to send it, from the start. */
  readonly afterMs: number;
  readonly body: object;
}

export interface ClientJob {
  readonly url: string;
  readonly streams: readonly ClientStream[];
}

export interface StreamTimes {
  readonly sentMs: number;
  /** One entry a token. */
  readonly pieceMs: readonly number[];
  readonly status: number;
}

async function run({ url, streams }: ClientJob): Promise<StreamTimes[]> {
  const startedAt = performance.now();
  return Promise.all(
    streams.map(async ({ afterMs, body }) => {
      if (afterMs > 0) await sleep(afterMs);
      return stream(url, body, startedAt);
    }),
  );
}

const PIECE = Buffer.from('"finish_reason":null');

/** One stream by the plainest means, so that reading costs little. */
function stream(url: string, body: object, startedAt: number): Promise<StreamTimes> {
  const sentMs = performance.now() - startedAt;
  const pieceMs: number[] = [];
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/v1/completions`, { method: 'POST' }, (response) => {
      response.on('data', (part: Buffer) => {
        const now = performance.now() - startedAt;
        for (let at = part.indexOf(PIECE); at !== -1; at = part.indexOf(PIECE, at + 1)) pieceMs.push(now);
      });
      response.on('end', () => resolve({ sentMs, pieceMs, status: response.statusCode ?? 0 }));
    });
    sent.on('error', reject);
    sent.end(JSON.stringify(body));
  });
}

setPriority(constants.priority.PRIORITY_LOW);
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await run(JSON.parse(line) as ClientJob))}\n`);
}
