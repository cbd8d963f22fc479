/**
 * Which pages of other sites may use the server. By default none: a page a user happens to visit must not reach the model on their machine,
 * neither directly nor by a name of its own that it points at this machine (DNS rebinding).
 */
import { ApiError } from './api-error.ts';
import type { ServerSettings } from './server-context.ts';

type OriginSettings = Pick<ServerSettings, 'corsOrigins' | 'allowedHosts'>;

/** Throws a 403 for a host name that is not served, or a page of another site that is not let in. */
export function checkHost({ url, headers }: Request, settings: OriginSettings): void {
  const { hostname, host } = new URL(url);
  if (settings.allowedHosts !== null && !settings.allowedHosts.includes(hostname)) {
    throw new ApiError(
      403,
      `this server does not answer to the name "${hostname.slice(0, 100)}"; start it with --allow-host to change that`,
    );
  }
  const origin = headers.get('origin');
  if (origin === null || hostOf(origin) === host || isAllowed(origin, settings)) return;
  throw new ApiError(
    403,
    `pages of ${origin.slice(0, 100)} may not use this server; start it with --cors-origin to let them in`,
  );
}

/** Headers that let an allowed page read the answer. */
export function corsHeaders({ headers }: Pick<Request, 'headers'>, settings: OriginSettings): [string, string][] {
  const origin = headers.get('origin');
  if (origin === null || !isAllowed(origin, settings)) return [];
  return [
    ['Access-Control-Allow-Origin', settings.corsOrigins.includes('*') ? '*' : origin],
    ['Access-Control-Expose-Headers', 'X-Request-Id, Retry-After'],
    ['Vary', 'Origin'],
  ];
}

function isAllowed(origin: string, { corsOrigins }: OriginSettings): boolean {
  return corsOrigins.includes('*') || corsOrigins.includes(origin);
}

function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null;
}
