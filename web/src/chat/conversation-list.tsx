/**
 * The conversations kept in this browser: search, open, rename, delete, export, import.
 */
import { signal } from '@preact/signals';
import { useRef, useState } from 'preact/hooks';
import { messageOf } from '../api/http.ts';
import { goTo } from '../route.ts';
import { afterRender } from '../ui/after-render.ts';
import { Dialog } from '../ui/dialog.tsx';
import { Icon } from '../ui/icon.tsx';
import { saveFile } from '../ui/save-file.ts';
import {
  conversations,
  deleteConversation,
  importConversations,
  notice,
  openConversation,
  renameConversation,
  sortedConversations,
  startConversation,
} from './chat-state.ts';
import type { Conversation } from './conversation.ts';
import { exportText } from './transfer.ts';

const search = signal('');

/** Puts the cursor into the search box. */
export function focusSearch(): void {
  afterRender(() => document.querySelector<HTMLInputElement>('#search')?.focus());
}

export function ConversationList({ onChosen }: { onChosen: () => void }) {
  const wanted = search.value.trim().toLowerCase();
  const found = sortedConversations.value.filter((one) => wanted === '' || holds(one, wanted));
  return (
    <nav class="side side-list" aria-label="Conversations">
      <div class="side-head">
        <button
          class="plain wide"
          type="button"
          onClick={() => {
            startConversation();
            onChosen();
          }}
        >
          <Icon name="plus" /> New conversation
        </button>
        <label class="search">
          <Icon name="search" />
          <input
            id="search"
            type="search"
            aria-label="Search conversations"
            placeholder="Search"
            value={search.value}
            onInput={(event) => (search.value = event.currentTarget.value)}
          />
        </label>
      </div>
      <ul class="conversations">
        {found.map((conversation) => (
          <Entry key={conversation.id} conversation={conversation} onChosen={onChosen} />
        ))}
        {found.length === 0 && (
          <li class="hint">
            {wanted === '' ? 'Conversations are kept here, in this browser.' : 'None holds these words.'}
          </li>
        )}
      </ul>
      <Transfer />
    </nav>
  );
}

function holds({ title, messages }: Conversation, wanted: string): boolean {
  return title.toLowerCase().includes(wanted) || messages.some(({ text }) => text.toLowerCase().includes(wanted));
}

function Entry({ conversation, onChosen }: { conversation: Conversation; onChosen: () => void }) {
  const [asked, setAsked] = useState<'rename' | 'delete' | null>(null);
  const isOpen = openConversation.value.id === conversation.id;
  const close = () => setAsked(null);
  return (
    <li class="entry" data-open={isOpen}>
      <button
        class="entry-title"
        type="button"
        aria-current={isOpen ? 'page' : undefined}
        onClick={() => {
          goTo('chat', conversation.id);
          onChosen();
        }}
      >
        {conversation.title}
      </button>
      <button
        class="ghost small"
        type="button"
        aria-label={`Rename ${conversation.title}`}
        title="Rename"
        onClick={() => setAsked('rename')}
      >
        <Icon name="edit" />
      </button>
      <button
        class="ghost small"
        type="button"
        aria-label={`Delete ${conversation.title}`}
        title="Delete"
        onClick={() => setAsked('delete')}
      >
        <Icon name="trash" />
      </button>
      {asked === 'rename' && <RenameDialog conversation={conversation} onClose={close} />}
      {asked === 'delete' && <DeleteDialog conversation={conversation} onClose={close} />}
    </li>
  );
}

function RenameDialog({ conversation, onClose }: { conversation: Conversation; onClose: () => void }) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    renameConversation(conversation, String(new FormData(event.target as HTMLFormElement).get('title') ?? ''));
    onClose();
  };
  return (
    <Dialog title="Rename the conversation" onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <label class="field">
          <span>Title</span>
          <input name="title" defaultValue={conversation.title} required maxLength={200} autoFocus />
        </label>
        <div class="row-end">
          <button class="plain" type="button" onClick={onClose}>
            Cancel
          </button>
          <button class="primary" type="submit">
            Rename
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function DeleteDialog({ conversation, onClose }: { conversation: Conversation; onClose: () => void }) {
  return (
    <Dialog title="Delete this conversation?" onClose={onClose}>
      <p>“{conversation.title}” is kept in this browser only. Deleted, it cannot be brought back.</p>
      <div class="row-end">
        <button class="plain" type="button" autoFocus onClick={onClose}>
          Keep
        </button>
        <button class="danger" type="button" onClick={() => deleteConversation(conversation)}>
          Delete
        </button>
      </div>
    </Dialog>
  );
}

function Transfer() {
  const file = useRef<HTMLInputElement>(null);
  const take = async (chosen: File | undefined) => {
    if (!chosen) return;
    try {
      const count = importConversations(await chosen.text());
      notice.value = count === 1 ? 'One conversation was imported.' : `${count} conversations were imported.`;
    } catch (error) {
      notice.value = messageOf(error);
    }
    file.current!.value = '';
  };
  return (
    <div class="side-foot">
      <button
        class="plain"
        type="button"
        disabled={conversations.value.size === 0}
        onClick={() => saveFile('cria-conversations.json', exportText(sortedConversations.value))}
      >
        <Icon name="download" /> Export
      </button>
      <button class="plain" type="button" onClick={() => file.current?.click()}>
        <Icon name="upload" /> Import
      </button>
      <input
        ref={file}
        class="unseen"
        type="file"
        accept="application/json,.json"
        aria-label="File of conversations"
        tabIndex={-1}
        onChange={(event) => void take(event.currentTarget.files?.[0])}
      />
    </div>
  );
}
