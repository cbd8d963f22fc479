/**
 * fetch for the hub: sends the token to the hub alone, and turns refusals into errors that say what to do.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { RequestError } from '../util/errors.ts';
import type { HubSettings } from './hub-settings.ts';

const MAX_TRIES = 4; // of a server that is overloaded

/** A fetch that throws a RequestError for every answer but success; `repo` is named in the message. */
export function hubFetch(settings: HubSettings, repo: string, retryDelayMs: number): typeof fetch {
  const origin = new URL(settings.endpoint).origin;
  return async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    const headers = new Headers(init?.headers);
    // A redirect to another origin (storage) drops the header again: fetch does so by specification.
    const isHub = new URL(url).origin === origin;
    if (settings.token !== null && isHub) headers.set('Authorization', `Bearer ${settings.token}`);
    for (let tries = 1; ; tries++) {
      const response = await fetch(input, { ...init, headers }).catch((error: unknown) => {
        throw unreachable(error, settings);
      });
      if (response.ok) {
        checkRange(headers, response);
        return response;
      }
      const error = await refusal(response, settings, repo);
      if (!isTransient(error) || tries >= MAX_TRIES) throw error;
      await sleep(retryDelayMs * 2 ** tries);
    }
  };
}

function checkRange(headers: Headers, response: Response): void {
  const start = /^bytes=(\d+)-/.exec(headers.get('Range') ?? '')?.[1];
  if (start !== undefined && start !== '0' && response.status !== 206) throw new RangeIgnored();
}

/** The server sent the whole file although a part was asked for; the download starts again from the beginning. */
export class RangeIgnored extends Error {
  constructor() {
    super(RANGE_IGNORED);
  }
}

const RANGE_IGNORED = 'the server sent the whole file instead of a part';

/** Whether a download failed because of that; streams of the hub library pass on the message alone. */
export function isRangeIgnored(error: unknown): boolean {
  return error instanceof RangeIgnored || error === RANGE_IGNORED;
}

function unreachable(error: unknown, settings: HubSettings): RequestError {
  const cause = (error as { cause?: { code?: string } }).cause?.code ?? (error as Error).message;
  return new RequestError(
    503,
    `${settings.endpoint} cannot be reached (${cause}); check the network, or set HF_HUB_OFFLINE=1 to use what is in the cache`,
    { cause: error },
  );
}

async function refusal(response: Response, settings: HubSettings, repo: string): Promise<RequestError> {
  const code = response.headers.get('X-Error-Code') ?? '';
  const text = (await response.text().catch(() => '')).slice(0, 300);
  const { status } = response;
  return new RequestError(
    status,
    explanation(status, code, settings, repo) ?? `${repo}: the hub answered ${status}: ${text}`,
  );
}

function explanation(status: number, code: string, { endpoint, token }: HubSettings, repo: string): string | null {
  const page = `${endpoint}/${repo}`;
  if (code === 'RevisionNotFound') return `${repo}: has no such revision; see ${page}/tree/main for its branches`;
  if (code === 'EntryNotFound') return `${repo}: has no such file; see ${page}/tree/main`;
  if (code === 'GatedRepo' || status === 403) {
    return token === null
      ? `${repo} is gated: accept its licence at ${page}, make a token at ${endpoint}/settings/tokens, and set HF_TOKEN to it`
      : `${repo} is gated and this token has no access yet: accept its licence at ${page} with the account of HF_TOKEN`;
  }
  if (status === 401 || code === 'RepoNotFound' || status === 404) {
    const reason =
      token === null ? 'if it is private or gated, set HF_TOKEN' : 'or the account of HF_TOKEN may not see it';
    return `${repo}: no such model at ${endpoint}; check the spelling, ${reason}`;
  }
  if (status === 429) return `${repo}: the hub asks to slow down (429); try again in a few minutes`;
  return null;
}

/** Whether trying again may help: the connection broke, or the server is overloaded. */
export function isTransient(error: unknown): boolean {
  if (error instanceof RequestError) return error.status >= 500 || error.status === 429;
  // Streams of the hub library fail with a plain text, those of fetch with a TypeError ("terminated").
  return typeof error === 'string' || error instanceof TypeError || isRangeIgnored(error);
}
