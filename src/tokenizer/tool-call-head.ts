/**
 * Reads the beginning of {"name": …, "parameters": …}, as much of it as has come, until it is certain whether it is a call of a tool.
 */
import { jsonValueEnd, skipJsonSpace } from './json-scan.ts';

export type CallHead =
  /** Not certain yet. */
  | { kind: 'wait' }
  /** No call. */
  | { kind: 'no' }
  /** A call whose arguments begin at `at`. */
  | { kind: 'arguments'; name: string; at: number }
  /** A whole call that ends at `at`: its arguments came before its name, or there are none. */
  | { kind: 'whole'; name: string; args: string; at: number };

const WAIT: CallHead = { kind: 'wait' };
const NO: CallHead = { kind: 'no' };
const ARGUMENTS: readonly string[] = ['parameters', 'arguments'];
/** Members that a call may have besides; models write {"type": "function", …}. */
const IGNORED: readonly string[] = ['type', 'id'];
/** Longer beginnings are no calls: text must not be held back without end. */
const MAX_HELD = 20_000;

/** What `text`, which begins with {, is so far. */
export function readCallHead(text: string, isKnown: (name: string) => boolean): CallHead {
  const head = readMembers(text, isKnown);
  return head.kind === 'wait' && text.length > MAX_HELD ? NO : head;
}

function readMembers(text: string, isKnown: (name: string) => boolean): CallHead {
  let name: string | null = null;
  let args: string | null = null;
  for (let at = 1; ;) {
    at = skipJsonSpace(text, at);
    if (at >= text.length) return WAIT;
    if (text[at] === '}') return name === null ? NO : { kind: 'whole', name, args: args ?? '{}', at: at + 1 };
    if (text[at] !== '"') return NO;
    const keyEnd = jsonValueEnd(text, at);
    if (keyEnd === null) return couldBeKey(text.slice(at)) ? WAIT : NO;
    const key = stringOf(text.slice(at, keyEnd));
    at = skipJsonSpace(text, keyEnd);
    if (at >= text.length) return WAIT;
    if (text[at] !== ':') return NO;
    at = skipJsonSpace(text, at + 1);
    if (at >= text.length) return WAIT;
    if (key !== null && ARGUMENTS.includes(key)) {
      if (text[at] !== '{' && text[at] !== '"') return NO;
      if (name !== null && text[at] === '{') return { kind: 'arguments', name, at };
    } else if (key === null || (key !== 'name' && !IGNORED.includes(key))) {
      return NO;
    }
    const end = jsonValueEnd(text, at);
    if (end === null) return WAIT;
    const value = text.slice(at, end);
    if (key === 'name') {
      name = stringOf(value);
      if (name === null || !isKnown(name)) return NO;
    } else if (ARGUMENTS.includes(key)) {
      // Some models write their arguments as a string of JSON.
      args = value.startsWith('"') ? stringOf(value) : value;
      if (args === null || !isObjectText(args)) return NO;
    }
    at = skipJsonSpace(text, end);
    if (at >= text.length) return WAIT;
    if (text[at] === ',') at++;
    else if (text[at] !== '}') return NO;
  }
}

/** Whether a key that a call can have begins so. */
function couldBeKey(text: string): boolean {
  return ['name', ...ARGUMENTS, ...IGNORED].some((key) => `"${key}"`.startsWith(text));
}

function stringOf(json: string): string | null {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'string' ? value : null;
  } catch {
    return null;
  }
}

function isObjectText(json: string): boolean {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
