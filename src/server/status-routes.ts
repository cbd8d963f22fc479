/**
 * Routes that tell of the server itself: health, metrics, version, the OpenAPI document.
 */
import { ApiError } from './api-error.ts';
import { openapiDocument } from './openapi.ts';
import { json } from './response-schemas.ts';
import { get, type Route } from './route.ts';
import { documentSchema, healthSchema, metricsSchema, versionSchema } from './status-schema.ts';

/** `isDraining` is true once the server no longer takes work; `documented` are the rows the OpenAPI document describes. */
export function statusRoutes(isDraining: () => boolean, documented: readonly Route[]): Route[] {
  let document: object | null = null;
  return [
    get(
      '/health',
      'Whether the server takes requests',
      json(healthSchema),
      ({ context: { registry } }) => health(isDraining(), registry.pinnedLoading),
      'open',
    ),
    get(
      '/health/live',
      'Whether the process answers',
      json(healthSchema),
      () => Response.json({ status: 'ok' }),
      'open',
    ),
    get('/metrics', 'Prometheus metrics', { 'text/plain': metricsSchema }, async ({ context }) => {
      const { body, contentType } = await context.metrics.render();
      return new Response(body, { headers: { 'Content-Type': contentType } });
    }),
    get(
      '/version',
      'Version of the server',
      json(versionSchema),
      ({ context }) => Response.json({ version: context.version }),
      'open',
    ),
    get(
      '/openapi.json',
      'This description',
      json(documentSchema),
      // Once: it takes 20 ms, in which no stream goes on.
      ({ context }) => Response.json((document ??= openapiDocument(documented, context.version))),
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
