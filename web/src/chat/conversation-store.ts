/**
 * Where conversations are kept: one record each in IndexedDB. Where that is forbidden they last as long as the page.
 */
import type { Conversation } from './conversation.ts';

const DATABASE = 'cria';
const STORE = 'conversations';

let database: Promise<IDBDatabase | null> | null = null;

function open(): Promise<IDBDatabase | null> {
  database ??= new Promise((resolve) => {
    try {
      const opening = indexedDB.open(DATABASE, 1);
      opening.addEventListener('upgradeneeded', () => opening.result.createObjectStore(STORE, { keyPath: 'id' }));
      opening.addEventListener('success', () => resolve(opening.result));
      opening.addEventListener('error', () => resolve(null));
    } catch {
      resolve(null);
    }
  });
  return database;
}

async function run<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T | null> {
  const db = await open();
  if (db === null) return null;
  return new Promise((resolve, reject) => {
    const asked = work(db.transaction(STORE, mode).objectStore(STORE));
    asked.addEventListener('success', () => resolve(asked.result));
    asked.addEventListener('error', () => reject(asked.error));
  });
}

/** All conversations that are kept. */
export async function keptConversations(): Promise<Conversation[]> {
  return (await run<Conversation[]>('readonly', (store) => store.getAll())) ?? [];
}

/** Keeps a conversation as it is now. */
export async function keepConversation(conversation: Conversation): Promise<void> {
  await run('readwrite', (store) => store.put(conversation));
}

/** Forgets one. */
export async function forgetConversation(id: string): Promise<void> {
  await run('readwrite', (store) => store.delete(id));
}
