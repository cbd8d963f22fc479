/**
 * The conversations of the page and what can be done with them. All writing goes through here; components only read the signals.
 */
import { computed, signal } from '@preact/signals';
import { messageOf } from '../api/http.ts';
import { goTo, route } from '../route.ts';
import {
  type Conversation,
  newConversation,
  shownMessages,
  withBranch,
  withoutRunning,
  type Message,
} from './conversation.ts';
import { forgetConversation, keepConversation, keptConversations } from './conversation-store.ts';
import { parseExport } from './transfer.ts';

/** All conversations, by id. */
export const conversations = signal<ReadonlyMap<string, Conversation>>(new Map());

/** False until the kept ones are read. */
export const isLoaded = signal(false);

/** Something that went wrong and belongs to no message; null if nothing did. */
export const notice = signal<string | null>(null);

/** What the next conversation starts with: as the last one was set. */
const draft = signal<Conversation>(newConversation(crypto.randomUUID(), Date.now()));

/** The conversation that is open: one of the kept, or one without messages that is not kept yet. */
export const openConversation = computed<Conversation>(() => {
  const { tab, item } = route.value;
  return (tab === 'chat' || tab === '' ? conversations.value.get(item ?? '') : undefined) ?? draft.value;
});

/** Its messages, as shown. */
export const openMessages = computed(() => shownMessages(openConversation.value));

/** The newest first. */
export const sortedConversations = computed(() =>
  [...conversations.value.values()].toSorted((a, b) => b.updatedAt - a.updatedAt),
);

export async function loadConversations(): Promise<void> {
  try {
    const kept = (await keptConversations()).map(withoutRunning);
    conversations.value = new Map([...kept.map((one) => [one.id, one] as const), ...conversations.value]);
  } catch (error) {
    notice.value = `Conversations kept in this browser could not be read: ${messageOf(error)}`;
  }
  isLoaded.value = true;
}

/** Shows a conversation as changed, without keeping it yet. */
export function show(conversation: Conversation): void {
  conversations.value = new Map(conversations.value).set(conversation.id, conversation);
}

/** Shows it and keeps it. */
export function save(conversation: Conversation): void {
  show(conversation);
  keepConversation(conversation).catch((error: unknown) => {
    notice.value = `This conversation could not be kept in the browser: ${messageOf(error)}`;
  });
}

/** Changes the settings of the open conversation, kept or not. */
export function changeOpen(change: Partial<Pick<Conversation, 'system' | 'sampling' | 'title'>>): void {
  const changed = { ...openConversation.value, ...change };
  if (conversations.value.has(changed.id)) save(changed);
  else draft.value = changed;
}

export function startConversation(): void {
  const { system, sampling } = openConversation.value;
  draft.value = newConversation(crypto.randomUUID(), Date.now(), { system, sampling });
  goTo('chat');
}

export function renameConversation(conversation: Conversation, title: string): void {
  if (title.trim() !== '') save({ ...conversation, title: title.trim() });
}

export function deleteConversation({ id }: Conversation): void {
  if (openConversation.value.id === id) startConversation();
  const rest = new Map(conversations.value);
  rest.delete(id);
  conversations.value = rest;
  void forgetConversation(id);
}

export function chooseBranch(message: Message): void {
  save(withBranch(openConversation.value, message));
}

/** Takes over the conversations of an exported file, beside those there are; how many. */
export function importConversations(text: string): number {
  const imported = parseExport(text);
  for (const conversation of imported) {
    const isThere = conversations.value.has(conversation.id);
    save(isThere ? { ...conversation, id: crypto.randomUUID() } : conversation);
  }
  return imported.length;
}
