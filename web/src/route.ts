/**
 * Where in the page one is, as the fragment of its address: #/tab or #/tab/item.
 */
import { signal } from '@preact/signals';

export interface Route {
  readonly tab: string;
  /** What is open in the tab, or null. */
  readonly item: string | null;
}

/** The current place. */
export const route = signal<Route>(parseRoute(location.hash));

addEventListener('hashchange', () => {
  route.value = parseRoute(location.hash);
});

/** Goes to a place; it can be gone back from. */
export function goTo(tab: string, item: string | null = null): void {
  location.hash = item === null ? `#/${tab}` : `#/${tab}/${encodeURIComponent(item)}`;
  route.value = parseRoute(location.hash); // the event comes later: what is done next must find the new place
}

/** The place that a fragment names; the tab is '' if it names none. */
function parseRoute(hash: string): Route {
  const [tab = '', item = ''] = hash.replace(/^#\/?/, '').split('/');
  return { tab, item: decoded(item) };
}

/** Null also for what is no encoded text: anybody can write an address. */
function decoded(item: string): string | null {
  try {
    return item === '' ? null : decodeURIComponent(item);
  } catch {
    return null;
  }
}
