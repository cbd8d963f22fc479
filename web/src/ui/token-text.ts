/**
 * How a token looks to people: its text where its bytes are whole characters, else the bytes; and a colour by its id's place.
 */
import type { ShownToken } from '../api/inside.ts';

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text of the bytes, or null where they are not whole characters. */
export function textOf({ bytes }: Pick<ShownToken, 'bytes'>): string | null {
  try {
    return strict.decode(Uint8Array.from(bytes));
  } catch {
    return null;
  }
}

/** Bytes as two hexadecimal digits each. */
export function hexOf({ bytes }: Pick<ShownToken, 'bytes'>): string {
  return bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, '0')).join(' ');
}

// Spaces and controls as signs of their own, so that a token of nothing else can be seen.
const SIGNS: Readonly<Record<string, string>> = { ' ': '·', '\n': '↵', '\r': '␍', '\t': '→', '\u00a0': '⍽' };

/** Text with its white space made visible. */
export function withSigns(text: string): string {
  return text.replace(/[ \n\r\t\u00a0]/g, (sign) => SIGNS[sign]!);
}

/** A short name for labels and lists: white space always visible. */
export function labelOf(token: ShownToken): string {
  const text = textOf(token);
  return text === null ? hexOf(token) : withSigns(text);
}

const HUES = [205, 85, 330, 145, 55, 275, 20, 175];

/** Hue of the token at a place: neighbours always differ. */
export function hueAt(place: number): number {
  return HUES[place % HUES.length]!;
}
