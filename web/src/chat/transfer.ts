/**
 * Conversations as a JSON file, and back: what a file holds is checked before anything of it is taken over.
 */
import {
  type Conversation,
  DEFAULT_SAMPLING,
  type Message,
  newConversation,
  type Reply,
  type Sampling,
  withoutRunning,
} from './conversation.ts';

const FORMAT = 'cria.conversations';
const VERSION = 1;

/** The text of a file with these conversations. */
export function exportText(conversations: readonly Conversation[]): string {
  return JSON.stringify({ format: FORMAT, version: VERSION, conversations }, null, 2);
}

/** The conversations of a file; throws an Error of one sentence if it is none of ours. */
export function parseExport(text: string): Conversation[] {
  const file = object(parse(text));
  if (file['format'] !== FORMAT) throw new Error('This file holds no conversations exported from this page.');
  if (file['version'] !== VERSION)
    throw new Error(`This file is of version ${String(file['version'])}; this page reads version ${VERSION}.`);
  return list(file['conversations']).map((one) => withoutRunning(conversation(one)));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('This file is not JSON, so it holds no conversations.');
  }
}

function conversation(value: unknown): Conversation {
  const given = object(value);
  const messages = list(given['messages']).map(message);
  const ids = new Set<string>();
  for (const { id, parentId } of messages) {
    // A parent comes before its children, so that no message can follow itself.
    if (ids.has(id) || (parentId !== null && !ids.has(parentId))) damaged();
    ids.add(id);
  }
  const chosen = Object.entries(object(given['chosen'])).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return {
    ...newConversation(string(given['id']), number(given['createdAt'])),
    title: string(given['title']),
    updatedAt: number(given['updatedAt']),
    system: string(given['system']),
    sampling: sampling(object(given['sampling'])),
    messages,
    chosen: Object.fromEntries(chosen),
  };
}

function message(value: unknown): Message {
  const given = object(value);
  const role = given['role'];
  if (role !== 'user' && role !== 'assistant') return damaged();
  const parentId = given['parentId'] === null ? null : string(given['parentId']);
  const reply = given['reply'] === null ? null : replyOf(object(given['reply']));
  return { id: string(given['id']), parentId, role, text: string(given['text']), reply };
}

function replyOf(given: Record<string, unknown>): Reply {
  return {
    model: string(given['model']),
    isContinuation: given['isContinuation'] === true,
    finish: string(given['finish']),
    error: given['error'] === null ? null : string(given['error']),
    seed: number(given['seed']),
    promptTokens: numberOrNull(given['promptTokens']),
    tokens: numberOrNull(given['tokens']),
    tokensPerSecond: numberOrNull(given['tokensPerSecond']),
    firstMs: numberOrNull(given['firstMs']),
  };
}

function sampling(given: Record<string, unknown>): Sampling {
  const known = Object.keys(DEFAULT_SAMPLING).map((key) => [key, numberOrNull(given[key])] as const);
  const numbers = Object.fromEntries(known.filter(([, value]) => value !== null));
  return { ...DEFAULT_SAMPLING, ...numbers };
}

function damaged(): never {
  throw new Error('This file is damaged: a conversation in it is not as this page writes them.');
}

function object(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : damaged();
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : damaged();
}

function string(value: unknown): string {
  return typeof value === 'string' ? value : damaged();
}

function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : damaged();
}

function numberOrNull(value: unknown): number | null {
  return value === null || value === undefined ? null : number(value);
}
