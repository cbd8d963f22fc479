/**
 * Puts the server together: registry, metrics, routes, app. What is served and where it listens come from outside.
 */
import { setMaxListeners } from 'node:events';
import { pino, type Logger } from 'pino';
import { ApiError } from './api-error.ts';
import { type App, createApp } from './app.ts';
import { INSIDE_ROUTES } from './inside.ts';
import { Metrics } from './metrics.ts';
import { ModelRegistry, type RegistryOptions } from './model-registry.ts';
import { OLLAMA_ROUTES } from './ollama-routes.ts';
import { OPENAI_ROUTES } from './openai-routes.ts';
import { pageRoutes } from './page.ts';
import type { Route } from './route.ts';
import type { ModelCatalog } from './served-model.ts';
import { DEFAULT_SETTINGS, type ServerContext, type ServerSettings } from './server-context.ts';
import { statusRoutes } from './status-routes.ts';
import { TOKENIZE_ROUTES } from './tokenize-routes.ts';

export interface ServerOptions {
  readonly settings?: Partial<ServerSettings>;
  readonly registry?: Partial<Omit<RegistryOptions, 'onEvent'>>;
  /** Where one line a request goes; nowhere by default. */
  readonly log?: Logger;
  readonly version?: string;
  /** Folder of the built page; null: no page. */
  readonly pageFolder?: string | null;
}

/** Everything but a socket. */
export interface CriaServer {
  readonly app: App;
  readonly registry: ModelRegistry;
  readonly context: ServerContext;
  /** From now on /health says that the server goes. */
  drain(): void;
  /** Ends all replies with an error. */
  endReplies(): void;
}

const DEFAULT_KEEP_ALIVE_MS = 5 * 60_000;
const DEFAULT_MAX_WAITING = 128;

/** A server for the models of a catalog. */
export async function createCriaServer(catalog: ModelCatalog, options: ServerOptions = {}): Promise<CriaServer> {
  const log = options.log ?? pino({ level: 'silent' });
  const registry = new ModelRegistry(catalog, {
    keepAliveMs: DEFAULT_KEEP_ALIVE_MS,
    pinned: [],
    maxWaiting: DEFAULT_MAX_WAITING,
    ...options.registry,
    onEvent: (event, id, detail) =>
      event === 'failed' ? log.error({ model: id, ...detail }, event) : log.info({ model: id, ...detail }, event),
  });
  const context: ServerContext = {
    registry,
    settings: { ...DEFAULT_SETTINGS, ...options.settings },
    metrics: new Metrics(() => registry.loaded()),
    log,
    version: options.version ?? '0.0.0',
  };
  const shutdown = new AbortController();
  setMaxListeners(0, shutdown.signal); // one for each request
  let isDraining = false;
  const documented: Route[] = [...OPENAI_ROUTES, ...OLLAMA_ROUTES, ...TOKENIZE_ROUTES];
  const status = statusRoutes(() => isDraining, documented);
  documented.push(...status);
  const page = options.pageFolder ? await pageRoutes(options.pageFolder) : [];
  const app = createApp(context, [...documented, ...INSIDE_ROUTES, ...page], shutdown.signal);
  return {
    app,
    registry,
    context,
    drain: () => (isDraining = true),
    endReplies: () => shutdown.abort(new ApiError(503, 'the server is shutting down', { retryAfterSeconds: 5 })),
  };
}
