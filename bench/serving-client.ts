/**
 * The clients of bench/serving.ts, in a process of their own: reads one JSON line with a server's address and streams to run, and answers
 * with when each piece of each stream came, in milliseconds from the start.
 */
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
      const sentMs = performance.now() - startedAt;
      const response = await fetch(`${url}/v1/completions`, { method: 'POST', body: JSON.stringify(body) });
      const pieceMs: number[] = [];
      const decoder = new TextDecoder();
      for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
        const now = performance.now() - startedAt;
        const pieces = decoder.decode(part, { stream: true }).split('"finish_reason":null').length - 1;
        for (let i = 0; i < pieces; i++) pieceMs.push(now);
      }
      return { sentMs, pieceMs, status: response.status };
    }),
  );
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await run(JSON.parse(line) as ClientJob))}\n`);
}
