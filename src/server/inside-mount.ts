/**
 * Lets the page's routes for looking into a model run behind the same checks as all others.
 */
import { insideRoutes } from './inside.ts';
import { readBytes } from './request-body.ts';
import { acquireModel, type Call, type Route } from './route.ts';

/** Rows for everything under /inside. */
export function insideTable(): Route[] {
  const summary = 'Looks into a model, for the page';
  const row = { path: '/inside/*', summary, access: 'key', schema: null, answer: forward } as const;
  return [
    { ...row, method: 'GET' },
    { ...row, method: 'POST' },
  ];
}

async function forward(call: Call): Promise<Response> {
  const { request, context } = call;
  const routes = insideRoutes(async (name, work) => {
    const lease = await acquireModel(call, name === '' ? undefined : name);
    try {
      return await work(lease.model);
    } finally {
      lease.release();
    }
  });
  routes.onError((error) => {
    throw error;
  });
  if (request.method === 'GET') return routes.fetch(new Request(request.url, { headers: request.headers }));
  const body = Buffer.from(await readBytes(request, context.settings.maxBodyBytes));
  return routes.fetch(new Request(request.url, { method: 'POST', headers: request.headers, body }));
}
