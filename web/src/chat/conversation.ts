/**
 * A conversation as a tree: editing a message or asking again starts another branch beside the old one, nothing is lost.
 * Pure functions; knows nothing of where conversations are kept and who answers.
 */

export interface Message {
  readonly id: string;
  /** The message it follows; null for the first of a branch. */
  readonly parentId: string | null;
  readonly role: 'user' | 'assistant';
  readonly text: string;
  /** Who wrote a reply, and how it went; null for what a person wrote. */
  readonly reply: Reply | null;
}

export interface Reply {
  readonly model: string;
  /** The model goes on with the text instead of answering: its words are not markdown. */
  readonly isContinuation: boolean;
  /** Why it ended: OpenAI's reasons, or `stopped` by the reader, `error`, or `running`. */
  readonly finish: string;
  readonly error: string | null;
  readonly seed: number;
  readonly promptTokens: number | null;
  readonly tokens: number | null;
  readonly tokensPerSecond: number | null;
  readonly firstMs: number | null;
}

/** How replies are drawn; null leaves it to the server. */
export interface Sampling {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number | null;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly maxTokens: number | null;
  readonly seed: number | null;
}

export const DEFAULT_SAMPLING: Sampling = {
  temperature: 0.7,
  topP: 0.95,
  topK: null,
  minP: 0,
  repetitionPenalty: 1,
  maxTokens: null,
  seed: null,
};

export interface Conversation {
  readonly id: string;
  readonly title: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly system: string;
  readonly sampling: Sampling;
  readonly messages: readonly Message[];
  /** Which branch is shown: the message chosen after each message, by its id ('' for the start). Where none is, the newest. */
  readonly chosen: Readonly<Record<string, string>>;
}

/** A conversation without messages. */
export function newConversation(
  id: string,
  now: number,
  from?: Pick<Conversation, 'system' | 'sampling'>,
): Conversation {
  return {
    id,
    title: '',
    createdAt: now,
    updatedAt: now,
    system: from?.system ?? '',
    sampling: from?.sampling ?? DEFAULT_SAMPLING,
    messages: [],
    chosen: {},
  };
}

const keyOf = (parentId: string | null) => parentId ?? '';

/** The messages that may follow one, in the order they were written. */
export function branches({ messages }: Conversation, parentId: string | null): Message[] {
  return messages.filter((message) => message.parentId === parentId);
}

/** The messages of the branch that is shown, from the first on. */
export function shownMessages(conversation: Conversation): Message[] {
  const path: Message[] = [];
  for (let parentId: string | null = null; ;) {
    const options = branches(conversation, parentId);
    const chosen: string | undefined = conversation.chosen[keyOf(parentId)];
    const next: Message | undefined = options.find(({ id }) => id === chosen) ?? options.at(-1);
    if (!next) return path;
    path.push(next);
    parentId = next.id;
  }
}

/** The messages from the first to one of them. */
export function pathTo(conversation: Conversation, id: string | null): Message[] {
  const path: Message[] = [];
  for (let message = find(conversation, id); message; message = find(conversation, message.parentId))
    path.unshift(message);
  return path;
}

function find({ messages }: Conversation, id: string | null): Message | undefined {
  return messages.find((message) => message.id === id);
}

/** With a message more, shown from now on. */
export function withMessage(conversation: Conversation, message: Message, now: number): Conversation {
  const { messages, chosen, title } = conversation;
  return {
    ...conversation,
    title: title === '' && message.role === 'user' ? titleFor(message.text) : title,
    updatedAt: now,
    messages: [...messages, message],
    chosen: { ...chosen, [keyOf(message.parentId)]: message.id },
  };
}

/** With one message changed. */
export function withChange(conversation: Conversation, id: string, change: Partial<Message>): Conversation {
  const messages = conversation.messages.map((message) => (message.id === id ? { ...message, ...change } : message));
  return { ...conversation, messages };
}

/** With the branch that goes through a message shown. */
export function withBranch(conversation: Conversation, { id, parentId }: Message): Conversation {
  return { ...conversation, chosen: { ...conversation.chosen, [keyOf(parentId)]: id } };
}

/** With replies that were being written when the page was closed marked as stopped. */
export function withoutRunning(conversation: Conversation): Conversation {
  const messages = conversation.messages.map((message) =>
    message.reply?.finish === 'running' ? { ...message, reply: { ...message.reply, finish: 'stopped' } } : message,
  );
  return { ...conversation, messages };
}

const MAX_TITLE_CHARS = 60;

function titleFor(text: string): string {
  const line = text.trim().split('\n')[0]!.trim();
  return line.length <= MAX_TITLE_CHARS ? line : `${line.slice(0, MAX_TITLE_CHARS - 1).trimEnd()}…`;
}
