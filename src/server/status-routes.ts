/**
 * Routes that tell of the server itself: health, metrics, version, the OpenAPI document.
 */
import { ApiError } from './api-error.ts';
import { openapiDocument } from './openapi.ts';
import { get, type Route } from './route.ts';

/** `isDraining` is true once the server no longer takes work; `documented` are the rows the OpenAPI document describes. */
export function statusRoutes(isDraining: () => boolean, documented: readonly Route[]): Route[] {
  return [
    get(
      '/health',
      'Whether the server takes requests',
      ({ context: { registry } }) => health(isDraining(), registry.pinnedLoading),
      'open',
    ),
    get('/health/live', 'Whether the process answers', () => Response.json({ status: 'ok' }), 'open'),
    get('/metrics', 'Prometheus metrics', async ({ context }) => {
      const { body, contentType } = await context.metrics.render();
      return new Response(body, { headers: { 'Content-Type': contentType } });
    }),
    get('/version', 'Version of the server', ({ context }) => Response.json({ version: context.version }), 'open'),
    get(
      '/openapi.json',
      'This description',
      ({ context }) => Response.json(openapiDocument(documented, context.version)),
      'open',
    ),
  ];
}

/** 503 while the server is not ready, as load balancers expect. */
function health(isDraining: boolean, loading: ApiError | null): Response {
  if (isDraining) throw new ApiError(503, 'the server is shutting down', { retryAfterSeconds: 5 });
  if (loading !== null) throw loading;
  return Response.json({ status: 'ok' });
}
