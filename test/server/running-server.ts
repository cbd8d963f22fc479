/**
 * For tests with real clients: the toy server on a free port of this machine.
 */
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

/** Starts it; `stop` also checks that no KV block was lost. */
export async function runServer(toy: ToyOptions = {}, options: ServerOptions = {}): Promise<RunningServer> {
  const catalog = toyCatalog(toy);
  const server = await createCriaServer(catalog, { log: pino({ level: 'error' }), version: '1.2.3', ...options });
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
