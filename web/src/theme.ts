/**
 * Light or dark: the system's wish until the switch is used. theme.js applies the stored choice before the first paint.
 */
import { signal } from '@preact/signals';
import { readStored, writeStored } from './stored.ts';

export type Scheme = 'light' | 'dark';

const KEY = 'cria.scheme';
const system = matchMedia('(prefers-color-scheme: dark)');

/** The scheme that is shown. */
export const scheme = signal<Scheme>(current());

apply();
system.addEventListener('change', apply);

/** Shows the other scheme, from now on. */
export function toggleScheme(): void {
  const other = scheme.value === 'dark' ? 'light' : 'dark';
  writeStored(KEY, other === systemScheme() ? null : other); // back to following the system where both agree
  apply();
}

function systemScheme(): Scheme {
  return system.matches ? 'dark' : 'light';
}

function current(): Scheme {
  const stored = readStored(KEY);
  return stored === 'light' || stored === 'dark' ? stored : systemScheme();
}

function apply(): void {
  scheme.value = current();
  document.documentElement.dataset['scheme'] = scheme.value;
}
