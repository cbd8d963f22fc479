/**
 * For tests with real clients: the toy server on a free port of this machine, which waits for its model as long as a busy machine may need.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { listen, type Listening } from '../../src/server/serve.ts';
import { createCriaServer, type CriaServer, type ServerOptions } from '../../src/server/server.ts';
import { toyCatalog, type ToyCatalog, type ToyOptions } from '../../src/server/toy-catalog.ts';

export interface RunningServer {
  readonly url: string;
  readonly catalog: ToyCatalog;
  readonly server: CriaServer;
  readonly listening: Listening;
  stop(): Promise<void>;
}

const PATIENT_MS = 60_000;

/** Starts it; `stop` also checks that no KV block was lost. */
export async function runServer(toy: ToyOptions = {}, options: ServerOptions = {}): Promise<RunningServer> {
  const catalog = toyCatalog(toy);
  const server = await createCriaServer(catalog, {
    log: pino({ level: 'error' }),
    version: '1.2.3',
    ...options,
    settings: { loadWaitMs: PATIENT_MS, ...options.settings },
  });
  const listening = await listen(server.app, { host: '127.0.0.1', port: 0 });
  return {
    url: listening.url,
    catalog,
    server,
    listening,
    stop: async () => {
      await listening.close(5000, () => server.endReplies());
      for (const { model } of server.registry.loaded()) model.engine.checkInvariants();
      await server.registry.close();
    },
  };
}

/** Waits for a condition that another part of the process brings about; a test that waits too long fails by its own time limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(2);
}
