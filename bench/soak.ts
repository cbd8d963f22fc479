/**
 * Runs `cria serve` for a long time under everything clients do, and checks that it stays whole: same request, same answer, whatever runs
 * beside it; every fault answered with its own status; memory flat; no KV block lost; SIGTERM lets streams finish. Exits 1 if anything failed.
 *
 *   npx tsx bench/soak.ts [--minutes 30] [--workers 12] [--requests 10000] [--pause-ms 0] [--seed 1] [--json]
 */
import { AssertionError } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { integer, randomStream, uniform } from '../src/util/rng.ts';
import { machine, renderMachine } from './machine.ts';
import { ACTIONS, type SoakClient, streamed } from './soak-actions.ts';
import { heapMib, lowPoints, residentMib } from './soak-memory.ts';
import { HUB_MODEL, KEY, type SoakServer, startServer } from './soak-server.ts';

interface Options {
  readonly minutes: number;
  readonly workers: number;
  readonly requests: number;
  /** Mean rest of a worker between two requests. */
  readonly pauseMs: number;
  readonly seed: number;
}

/** What the whole run gathered. */
class Tally {
  readonly counts = new Map<string, number>();
  readonly failures: string[] = [];
  readonly rssMib: number[] = [];
  readonly heapMib: number[] = [];
  numRequests = 0;
  /** When this process last found that it had stood still, with the server and the clocks of both. */
  stoodStillAt = -Infinity;

  count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }

  fail(what: string): void {
    this.failures.push(what);
    process.stderr.write(`FAILED ${what}\n`);
  }
}

async function work(
  worker: number,
  until: (tally: Tally) => boolean,
  client: SoakClient,
  tally: Tally,
  { seed, pauseMs }: Options,
): Promise<void> {
  const random = randomStream(seed, `worker ${worker}`);
  const total = ACTIONS.reduce((sum, { weight }) => sum + weight, 0);
  for (let i = 0; !until(tally); i++) {
    if (pauseMs > 0) await sleep(2 * pauseMs * uniform(random, 3 * i + 2));
    let place = uniform(random, 3 * i) * total;
    const action = ACTIONS.find(({ weight }) => (place -= weight) < 0)!;
    const startedAt = performance.now();
    try {
      tally.count(`${action.name}: ${await action.run(client, integer(random, 3 * i + 1, 2 ** 31))}`);
    } catch (error) {
      const { message, cause } = error as Error;
      await sleep(2 * TICK_MS); // time to notice a standstill
      // A wrong answer is none of a limit of time, whatever stood still.
      const isOfTime = !(error instanceof AssertionError) || /\b50[34]\b/.test(message);
      if (isOfTime && tally.stoodStillAt >= startedAt)
        tally.count('ended by a limit of time after the machine had stood still');
      else tally.fail(`${action.name}: ${message.slice(0, 500)} ${String(cause ?? '')}`);
      if (tally.failures.length > 50) return;
    }
    tally.numRequests++;
  }
}

const TICK_MS = 200;
/** No load makes this process wait so long; only a machine that stops all processes does. */
const STANDSTILL_MS = 5000;

function watchStandstill(tally: Tally): NodeJS.Timeout {
  let before = performance.now();
  return setInterval(() => {
    const now = performance.now();
    if (now - before > STANDSTILL_MS) tally.stoodStillAt = now;
    before = now;
  }, TICK_MS);
}

/** Deletes the model's files a third of the way in: what is loaded must go on. The cached one is gone once it is unloaded. */
async function watch(
  served: SoakServer,
  folder: string,
  client: SoakClient,
  { minutes }: Options,
  tally: Tally,
  isOver: () => boolean,
): Promise<void> {
  const startedAt = performance.now();
  let isDeleted = false;
  while (!isOver()) {
    await sleep(2000);
    if (served.process.exitCode !== null) return tally.fail(`the server ended: ${served.stderr.slice(-40).join('\n')}`);
    tally.rssMib.push(residentMib(served.process.pid!));
    tally.heapMib.push(await heapMib(client));
    if (!isDeleted && performance.now() - startedAt > (minutes * 60_000) / 3) {
      isDeleted = true;
      rmSync(join(folder, 'toy'), { recursive: true });
      rmSync(join(folder, 'hub'), { recursive: true });
      process.stderr.write('the models were deleted from disk\n');
    }
    if (tally.rssMib.length % 30 === 0) {
      process.stderr.write(
        `${tally.numRequests} requests, ${tally.failures.length} failures, ${tally.rssMib.at(-1)} MiB\n`,
      );
    }
  }
}

/** Nothing runs: every block is free again. */
async function checkIdle(client: SoakClient, tally: Tally): Promise<void> {
  await sleep(3000);
  const text = await (await client.get('/metrics')).text();
  const value = (name: string) => Number(new RegExp(`^${name}\\{model="toy"\\} (\\S+)$`, 'm').exec(text)?.[1] ?? NaN);
  for (const name of ['cria_requests_running', 'cria_requests_waiting', 'cria_kv_blocks_used']) {
    if (value(name) !== 0) tally.fail(`${name} is ${value(name)} when nothing runs`);
  }
}

/** SIGTERM while streams run: they finish, nothing new is taken, the process ends with 0. */
async function checkDrain(served: SoakServer, client: SoakClient, tally: Tally): Promise<void> {
  const streams = [1, 2, 3, 4].map((seed) =>
    client.post('/v1/chat/completions', {
      messages: [{ role: 'user', content: 'hay' }],
      max_tokens: 900,
      seed,
      stream: true,
      ignore_eos: true,
    }),
  );
  const responses = await Promise.all(streams);
  served.process.kill('SIGTERM');
  const texts = await Promise.all(responses.map(streamed));
  for (const { isWhole } of texts) if (!isWhole) tally.fail('a stream was cut off by SIGTERM');
  const status = await Promise.race([served.ended, sleep(40_000, 'timeout' as const)]);
  if (status !== 0) tally.fail(`after SIGTERM the server ended with ${status}: ${served.stderr.slice(-3).join('\n')}`);
}

async function soak(options: Options): Promise<object> {
  const folder = mkdtempSync(join(tmpdir(), 'cria-soak-'));
  const served = await startServer(folder);
  const tally = new Tally();
  const client: SoakClient = clientOf(served.url, tally);
  const standstill = watchStandstill(tally);
  const startedAt = performance.now();
  const isTimeOver = () => performance.now() - startedAt > options.minutes * 60_000;
  const isOver = () => (isTimeOver() && tally.numRequests >= options.requests) || served.process.exitCode !== null;
  const workers = Array.from({ length: options.workers }, (_, i) => work(i, isOver, client, tally, options));
  await Promise.all([...workers, watch(served, folder, client, options, tally, isOver)]);
  clearInterval(standstill);
  await checkIdle(client, tally);
  const seconds = (performance.now() - startedAt) / 1000;
  await checkDrain(served, client, tally);
  rmSync(folder, { recursive: true, force: true });
  const resident = lowPoints(tally.rssMib);
  const heap = lowPoints(tally.heapMib);
  if (!resident.isFlat)
    tally.fail(`resident memory grew from ${resident.secondQuarter} to ${resident.lastQuarter} MiB`);
  if (!heap.isFlat) tally.fail(`the heap of JavaScript grew from ${heap.secondQuarter} to ${heap.lastQuarter} MiB`);
  return {
    minutes: Number((seconds / 60).toFixed(1)),
    requests: tally.numRequests,
    failures: tally.failures,
    lowPointsMib: { resident, heap },
    outcomes: Object.fromEntries([...tally.counts].toSorted()),
  };
}

function clientOf(url: string, tally: Tally): SoakClient {
  const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' };
  const ask = async (path: string, init: RequestInit): Promise<Response> => {
    try {
      return await fetch(url + path, init);
    } catch (error) {
      // A kept connection may close just as it is used again, as after the machine stood still; clients then try once more.
      const { code } = ((error as Error).cause ?? {}) as { code?: string };
      if (code !== 'ECONNRESET' && code !== 'UND_ERR_SOCKET') throw error;
      tally.count(`connection was closed (${code}), tried again`);
      return fetch(url + path, init);
    }
  };
  return {
    url,
    key: KEY,
    known: new Map(),
    get: (path) => ask(path, { headers }),
    post: (path, body, init = {}) => {
      const isRaw = typeof body === 'string' || body instanceof Uint8Array;
      return ask(path, { method: 'POST', headers, ...init, body: isRaw ? (body as string) : JSON.stringify(body) });
    },
    hubModel: HUB_MODEL,
  };
}

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    workers: { type: 'string', default: '12' },
    requests: { type: 'string', default: '10000' },
    'pause-ms': { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
});
const report = (await soak({
  minutes: Number(values.minutes),
  workers: Number(values.workers),
  requests: Number(values.requests),
  pauseMs: Number(values['pause-ms']),
  seed: Number(values.seed),
})) as { failures: string[] };
if (!values.json) process.stdout.write(`${renderMachine(machine())}\n`);
process.stdout.write(`${JSON.stringify(report, null, values.json ? 0 : 2)}\n`);
process.exitCode = report.failures.length > 0 ? 1 : 0;
