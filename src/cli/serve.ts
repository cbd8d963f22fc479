/**
 * `cria serve`: the OpenAI and Ollama APIs and the page, on a socket, until a signal ends it.
 */
import { isIP } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import type { ModelRegistry } from '../server/model-registry.ts';
import type { CriaServer } from '../server/server.ts';
import type { ServerSettings } from '../server/server-context.ts';
import { UsageError } from '../util/errors.ts';
import { type CommandIo, logLine, printJson, printLine } from './io.ts';
import { addModelFlags, choice, type ModelFlags, wholeNumber } from './open-model.ts';
import { packageVersion } from './package-version.ts';
import { repeatable } from './repeatable.ts';

export interface ServeFlags extends ModelFlags {
  readonly host: string;
  readonly port: string;
  readonly apiKeyFile?: string;
  readonly corsOrigin: readonly string[];
  readonly allowHost: readonly string[];
  readonly parallel: string;
  readonly maxSequences: string;
  readonly maxWaiting: string;
  readonly rateLimit?: string;
  readonly keepAlive: string;
  readonly timeout: string;
  readonly maxBody: string;
  readonly grace: string;
  readonly logLevel: string;
  readonly logText?: boolean;
  readonly json?: boolean;
}

const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'];
const PAGE_FOLDER = fileURLToPath(new URL('../../web/dist', import.meta.url));

/** The command, not yet run. */
export function serveCommand(io: CommandIo): Command {
  return addServeFlags(
    new Command('serve')
      .description('serve models: the OpenAI and Ollama APIs and the page')
      .argument('[models...]', 'models to load at once; others that are installed are loaded when they are asked for'),
  ).action((models: string[], flags: ServeFlags) => serve(models, flags, io));
}

/** The flags of `cria serve` as they are if none is given. */
export function defaultServeFlags(io: CommandIo): ServeFlags {
  return serveCommand(io).opts<ServeFlags>();
}

/** Adds the flags of a server to a command. */
function addServeFlags(command: Command): Command {
  command
    .option('--host <host>', 'address to listen on; 0.0.0.0 for all', '127.0.0.1')
    .option('--port <port>', 'port to listen on; 0 for any free one', '8080')
    .option('--api-key-file <file>', 'let in only who has one of these keys, one a line')
    .addOption(repeatable('--cors-origin <origin>', 'let pages of another site use the server, * for all'))
    .addOption(repeatable('--allow-host <name>', 'answer to this host name too, * for all'))
    .option('--parallel <n>', 'so many sequences of full context fit in memory at once', '4')
    .option('--max-sequences <n>', 'replies computed at once', '16')
    .option('--max-waiting <n>', 'replies that may wait for each model; more are turned away (429)', '128')
    .option('--rate-limit <n>', 'requests a minute for each key, or address without keys')
    .option('--keep-alive <minutes>', 'unload a model that nobody used for so long; -1 keeps it', '5')
    .option('--timeout <seconds>', 'longest time for one answer', '3600')
    .option('--max-body <mib>', 'largest body of a request', '16')
    .option('--grace <seconds>', 'how long answers under way may go on when the server is told to end', '30')
    .option('--log-level <level>', `one of ${LOG_LEVELS.join(', ')}`, 'info')
    .option('--log-text', 'write what was answered to the log too')
    .option('--json', 'print {"url"} as JSON once it listens');
  return addModelFlags(command);
}

/** Serves until SIGTERM or SIGINT; `beforeWaiting` runs once it listens. */
export async function serve(
  models: readonly string[],
  flags: ServeFlags,
  io: CommandIo,
  beforeWaiting: (url: string) => Promise<void> | void = () => {},
): Promise<void> {
  const { listen } = await import('../server/serve.ts');
  const pinned = models.map((await import('./installed-models.ts')).modelId);
  const port = portOf(flags);
  const graceMs = 1000 * wholeNumber('--grace', flags.grace, 0);
  const server = await openServer(models, pinned, flags, io);
  const listening = await listen(server.app, { host: flags.host, port });
  announce(listening.url, flags, io);
  const stop = new StopSignal(() => server.endReplies());
  try {
    await Promise.race([loadAll(server.registry, pinned), stop.first]);
    await beforeWaiting(listening.url);
    await stop.first;
    logLine(io, 'no more requests are taken; answers under way are finished (a second signal ends them)');
  } finally {
    server.drain();
    await listening.close(graceMs, () => server.endReplies());
    for (const { model } of server.registry.loaded()) model.engine.checkInvariants(); // a lost KV block is a bug to be seen
    await server.registry.close();
    stop.release();
  }
}

/** The server over the models of the command line and those that are installed; nothing is loaded yet. */
async function openServer(
  models: readonly string[],
  pinned: readonly string[],
  flags: ServeFlags,
  io: CommandIo,
): Promise<CriaServer> {
  const [{ createCriaServer }, { installedModels }, { pino }] = await Promise.all([
    import('../server/server.ts'),
    import('./installed-models.ts'),
    import('pino'),
  ]);
  const settings = await settingsOf(flags);
  const options = {
    flags,
    parallel: wholeNumber('--parallel', flags.parallel, 1),
    engine: { maxNumSequences: wholeNumber('--max-sequences', flags.maxSequences, 1) },
  };
  const registry = {
    pinned,
    maxWaiting: wholeNumber('--max-waiting', flags.maxWaiting, 0),
    keepAliveMs: minutes('--keep-alive', flags.keepAlive),
  };
  const log = pino({ level: choice('--log-level', flags.logLevel, LOG_LEVELS), base: null }, io.stderr);
  const catalog = await installedModels(models, options, io);
  return createCriaServer(catalog, { settings, registry, log, version: packageVersion(), pageFolder: PAGE_FOLDER });
}

function announce(url: string, flags: ServeFlags, io: CommandIo): void {
  if (flags.json) printJson(io, { url });
  else printLine(io, `cria listens on ${url}`);
  if (flags.apiKeyFile === undefined && !isLoopback(flags.host)) {
    logLine(io, `anybody who reaches ${flags.host} can use this server; --api-key-file lets in only who has a key`);
  }
}

/** Loads what was named on the command line; what cannot be loaded ends the command. */
async function loadAll(registry: ModelRegistry, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const lease = await registry.acquire(id, { maxWaitMs: null, signal: new AbortController().signal });
    lease.release();
  }
}

async function settingsOf(flags: ServeFlags): Promise<Partial<ServerSettings>> {
  const { readApiKeys } = await import('../server/api-keys.ts');
  return {
    apiKeys: flags.apiKeyFile === undefined ? null : await readApiKeys(flags.apiKeyFile),
    requestsPerMinute: flags.rateLimit === undefined ? null : wholeNumber('--rate-limit', flags.rateLimit, 1),
    corsOrigins: flags.corsOrigin,
    allowedHosts: allowedHosts(flags),
    requestTimeoutMs: 1000 * wholeNumber('--timeout', flags.timeout, 1),
    maxBodyBytes: 2 ** 20 * wholeNumber('--max-body', flags.maxBody, 1),
    logsText: flags.logText ?? false,
  };
}

/** A server for this machine alone answers only to this machine's names; one for others cannot know its names. */
function allowedHosts({ host, allowHost }: ServeFlags): readonly string[] | null {
  if (allowHost.includes('*') || (allowHost.length === 0 && !isLoopback(host))) return null;
  return ['localhost', '127.0.0.1', '[::1]', isIP(host) === 6 ? `[${host}]` : host, ...allowHost];
}

const MAX_PORT = 65_535;

function portOf(flags: ServeFlags): number {
  const port = wholeNumber('--port', flags.port, 0);
  if (port > MAX_PORT) throw new UsageError(`--port must be a whole number from 0 to ${MAX_PORT}, got ${port}`);
  return port;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

function minutes(flag: string, value: string): number | null {
  const number = Number(value);
  if (value.trim() === '' || !Number.isFinite(number))
    throw new UsageError(`${flag} must be a number of minutes, got ${value}`);
  return number < 0 ? null : number * 60_000;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Tells of the first signal to end, and of the second. */
class StopSignal {
  readonly first: Promise<void>;
  #count = 0;
  readonly #onSignal: () => void;

  constructor(onSecond: () => void) {
    let resolve: (() => void) | null = null;
    this.first = new Promise((done) => (resolve = done));
    this.#onSignal = () => (this.#count++ === 0 ? resolve!() : onSecond());
    for (const name of SIGNALS) process.on(name, this.#onSignal);
  }

  release(): void {
    for (const name of SIGNALS) process.off(name, this.#onSignal);
  }
}
