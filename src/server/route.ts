/**
 * One row of the table of routes: what a path answers, with the schema of its body. The app and the OpenAPI document are made from the table.
 */
import type { z } from 'zod';
import { ApiError } from './api-error.ts';
import type { Lease } from './model-registry.ts';
import { refuseOverlong, textsIn } from './prompt-length.ts';
import type { ResponseSchemas } from './response-schemas.ts';
import type { RequestScope, ServerContext } from './server-context.ts';

/** A request that has passed every check, with everything to answer it. */
export interface Call {
  readonly context: ServerContext;
  readonly scope: RequestScope;
  readonly request: Request;
  /** A part of the path, as `id` in /v1/models/:id. */
  readonly param: (name: string) => string;
}

/** 'key': needs an API key where keys are set; 'open': anybody may ask. */
export type Access = 'key' | 'open';

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly summary: string;
  readonly access: Access;
  /** Null: the body is not read. */
  readonly schema: z.ZodType | null;
  readonly responses: ResponseSchemas;
  readonly answer: (call: Call, body: never) => Promise<Response> | Response;
}

type Answer<T> = (call: Call, body: T) => Promise<Response> | Response;

/** A row that takes a JSON body. */
export function post<S extends z.ZodType>(
  path: string,
  summary: string,
  schema: S,
  responses: ResponseSchemas,
  answer: Answer<z.output<S>>,
): Route {
  return { method: 'POST', path, summary, access: 'key', schema, responses, answer };
}

/** A row without a body. */
export function get(
  path: string,
  summary: string,
  responses: ResponseSchemas,
  answer: (call: Call) => Promise<Response> | Response,
  access: Access = 'key',
): Route {
  return { method: 'GET', path, summary, access, schema: null, responses, answer };
}

/** The model a request names, or the server's first; a 503 tells when it will be there if it takes longer than settings say. */
export async function acquireModel({ context, scope }: Call, name: string | undefined): Promise<Lease> {
  const { registry, settings } = context;
  const wanted = name ?? registry.defaultId;
  if (wanted === null)
    throw new ApiError(400, 'model: is required; GET /v1/models lists the models', { param: 'model' });
  const lease = await registry.acquire(wanted, { maxWaitMs: settings.loadWaitMs, signal: scope.signal });
  scope.notes['model'] = lease.entry.id;
  return lease;
}

/** The lease once no prompt is far too long for its model: each of `prompts` is one, in any shape. Else a 400, and the lease is released. */
export async function fittingLease(lease: Lease, prompts: readonly unknown[], param: string): Promise<Lease> {
  try {
    await refuseOverlong(lease.model, prompts.map(textsIn), param);
    return lease;
  } catch (error) {
    lease.release();
    throw error;
  }
}
