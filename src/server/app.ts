/**
 * The server as a function from Request to Response: checks every request the same way, finds its route, tells every error in the words of
 * the API it was made to, and logs it once. Knows no sockets.
 */
import { randomUUID } from 'node:crypto';
import { Hono } from 'hono';
import { ApiError, ollamaErrorBody, openaiErrorBody, toApiError } from './api-error.ts';
import { authenticate } from './api-keys.ts';
import { checkHost, corsHeaders } from './cross-origin.ts';
import { RateLimit } from './rate-limit.ts';
import { readJson } from './request-body.ts';
import type { Call, Route } from './route.ts';
import { RequestScope, type ServerContext } from './server-context.ts';

/** What an adapter to sockets adds to a request. */
export interface ConnectionInfo {
  /** Address of the client; limits are counted by it where there are no keys. */
  readonly remoteAddress?: string;
  readonly destroy?: () => void;
}

type Env = { Bindings: { connection?: ConnectionInfo } };
export type App = Hono<Env>;

/** The app for a table of routes. `shutdown` ends what is still running. */
export function createApp(context: ServerContext, routes: readonly Route[], shutdown: AbortSignal): App {
  const { settings } = context;
  const limit = settings.requestsPerMinute === null ? null : new RateLimit(settings.requestsPerMinute);
  const app: App = new Hono<Env>();
  for (const route of routes) {
    app.on(route.method, route.path, (c) =>
      answer(context, route, limit, shutdown, c.req.raw, (name) => c.req.param(name) ?? '', c.env?.connection ?? {}),
    );
  }
  app.options('*', (c) => preflight(context, c.req.raw));
  app.notFound((c) => refuseRoute(context, methodsOf(app, c.req.path), c.req.raw, c.req.path));
  return app;
}

const METHODS = ['GET', 'POST', 'DELETE'] as const;

/** The methods that have a route for the path. */
function methodsOf(app: App, path: string): readonly string[] {
  return METHODS.filter((method) => app.router.match(method, path)[0].length > 0);
}

/** Nothing is at the path, or nothing for this method. */
function refuseRoute(context: ServerContext, methods: readonly string[], request: Request, path: string): Response {
  const shown = `${request.method} ${path.slice(0, 200)}`;
  const error =
    methods.length === 0
      ? new ApiError(404, `there is nothing at ${shown}`, { reason: 'not_found' })
      : new ApiError(405, `${shown} is not allowed; use ${methods.join(' or ')}`, { reason: 'method_not_allowed' });
  const response = errorResponse(error, path);
  if (methods.length > 0) response.headers.set('Allow', methods.join(', '));
  const id = requestId(request);
  response.headers.set('X-Request-Id', id);
  for (const [name, value] of corsHeaders(request, context.settings)) response.headers.set(name, value);
  context.metrics.countRequest(NO_ROUTE, error.status, 0);
  context.log.info({ id, status: error.status, error: error.message }, 'request');
  return response;
}

/** How the metrics call requests that have no route: their paths are anybody's. */
const NO_ROUTE = 'none';

async function answer(
  context: ServerContext,
  route: Route,
  limit: RateLimit | null,
  shutdown: AbortSignal,
  request: Request,
  param: (name: string) => string,
  connection: ConnectionInfo,
): Promise<Response> {
  const { settings } = context;
  const scope = new RequestScope(
    requestId(request),
    [request.signal, shutdown],
    settings.requestTimeoutMs,
    connection.destroy,
  );
  let response: Response;
  try {
    checkHost(request, settings);
    admit(context, route, limit, request, connection, scope);
    const call: Call = { context, scope, request, param };
    const body = route.schema === null ? undefined : await readJson(request, route.schema, settings.maxBodyBytes);
    response = await route.answer(call, body as never);
  } catch (error) {
    const told = toApiError(scope.signal.aborted && !(error instanceof ApiError) ? scope.signal.reason : error);
    scope.fail(told, error);
    response = errorResponse(told, route.path);
    if (!(await isRead(request))) response.headers.set('Connection', 'close');
  }
  scope.onEnd(() => record(context, route, request, response.status, scope));
  if (!scope.isOpen) scope.end();
  for (const [name, value] of corsHeaders(request, settings)) response.headers.set(name, value);
  response.headers.set('X-Request-Id', scope.id);
  return response;
}

/** Throws unless the client may ask, and may ask now. */
function admit(
  { settings }: ServerContext,
  route: Route,
  limit: RateLimit | null,
  { headers }: Request,
  { remoteAddress = 'local' }: ConnectionInfo,
  scope: RequestScope,
): void {
  if (route.access === 'open') return;
  const client = settings.apiKeys === null ? remoteAddress : authenticate(headers, settings.apiKeys);
  if (settings.apiKeys !== null) scope.notes['key'] = client;
  limit?.take(client, performance.now());
}

function preflight({ settings }: ServerContext, request: Request): Response {
  const headers = corsHeaders(request, settings);
  if (headers.length === 0) return new Response(null, { status: 204 });
  return new Response(null, {
    status: 204,
    headers: [
      ...headers,
      ['Access-Control-Allow-Methods', 'GET, POST, DELETE, OPTIONS'],
      ['Access-Control-Allow-Headers', request.headers.get('access-control-request-headers') ?? '*'],
      ['Access-Control-Max-Age', '600'],
    ],
  });
}

function errorResponse(error: ApiError, path: string): Response {
  const body = path.startsWith('/api/') ? ollamaErrorBody(error) : openaiErrorBody(error);
  const headers: Record<string, string> =
    error.retryAfterSeconds === null ? {} : { 'Retry-After': String(error.retryAfterSeconds) };
  if (error.status === 401) headers['WWW-Authenticate'] = 'Bearer';
  return Response.json(body, { status: error.status, headers });
}

const MAX_DISCARDED_BYTES = 2 ** 16;

/** Whether all of the body has arrived, as it must before the connection can be used again; a small one is waited for. */
async function isRead(request: Request): Promise<boolean> {
  if (request.body === null || request.bodyUsed) return true;
  if (!(Number(request.headers.get('content-length') ?? Infinity) <= MAX_DISCARDED_BYTES)) return false;
  return request.arrayBuffer().then(
    () => true,
    () => false,
  );
}

/** The client's own id, if it can stand in a log. */
function requestId({ headers }: Request): string {
  const given = headers.get('x-request-id') ?? '';
  return /^[\w.-]{1,100}$/.test(given) ? given : randomUUID();
}

/** One line a request; never what was asked or answered, unless the settings say so. */
function record(
  { log, metrics }: ServerContext,
  route: Route,
  { method }: Request,
  status: number,
  scope: RequestScope,
): void {
  const ms = performance.now() - scope.startedAt;
  const { failure } = scope;
  const shown = failure?.told.status ?? status;
  metrics.countRequest(route.path, shown, ms / 1000);
  const entry = { id: scope.id, method, route: route.path, status: shown, ms: Math.round(ms), ...scope.notes };
  if (failure === null) log.info(entry, 'request');
  else if (shown === 500) log.error({ ...entry, err: failure.cause }, 'request');
  else log.info({ ...entry, error: (failure.told.logged ?? failure.told.message).slice(0, 300) }, 'request');
}
