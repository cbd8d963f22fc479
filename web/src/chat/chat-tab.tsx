/**
 * Chat: conversations at the side, the open one in the middle, its settings on demand.
 */
import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { ModelPicker } from '../ui/model-picker.tsx';
import { Icon } from '../ui/icon.tsx';
import { openConversation, isLoaded, loadConversations, notice, startConversation } from './chat-state.ts';
import { spoken, stopReply } from './answer.ts';
import { Composer, focusComposer } from './composer.tsx';
import { ConversationList, focusSearch } from './conversation-list.tsx';
import { SettingsPanel } from './settings-panel.tsx';
import { Transcript } from './transcript.tsx';

const NARROW = matchMedia('(max-width: 64rem)');

/** Which side panels are open; on a narrow page the list starts closed. */
const listOpen = signal(!NARROW.matches);
const settingsOpen = signal(false);

export function ChatTab() {
  useEffect(() => {
    if (!isLoaded.value) void loadConversations();
    addEventListener('keydown', onShortcut);
    return () => removeEventListener('keydown', onShortcut);
  }, []);
  return (
    <div class="chat" data-list={listOpen.value} data-settings={settingsOpen.value}>
      {listOpen.value && <ConversationList onChosen={closeIfNarrow} />}
      {(listOpen.value || settingsOpen.value) && <div class="scrim" onClick={closeSides} />}
      <section class="chat-main" aria-label="Conversation">
        <div class="chat-head">
          <button
            class="ghost"
            type="button"
            aria-label="Conversations"
            title="Conversations"
            aria-expanded={listOpen.value}
            onClick={() => (listOpen.value = !listOpen.value)}
          >
            <Icon name="list" />
          </button>
          <ModelPicker />
          <span class="spring" />
          <button
            class="ghost"
            type="button"
            aria-label="New conversation"
            title="New conversation (Alt N)"
            onClick={startAfresh}
          >
            <Icon name="plus" />
          </button>
          <button
            class="ghost"
            type="button"
            aria-label="Settings"
            title="Settings (Alt S)"
            aria-expanded={settingsOpen.value}
            onClick={() => (settingsOpen.value = !settingsOpen.value)}
          >
            <Icon name="sliders" />
          </button>
        </div>
        {notice.value !== null && (
          <p class="problem" role="alert">
            {notice.value}{' '}
            <button class="link" type="button" onClick={() => (notice.value = null)}>
              Dismiss
            </button>
          </p>
        )}
        <Transcript />
        <Composer />
        <p class="unseen" role="status" aria-live="polite">
          {spoken.value}
        </p>
      </section>
      {settingsOpen.value && <SettingsPanel onClose={() => (settingsOpen.value = false)} />}
    </div>
  );
}

function closeSides(): void {
  listOpen.value = false;
  settingsOpen.value = false;
}

/** Where a side lies over the conversation, it goes once something is chosen. */
function closeIfNarrow(): void {
  if (NARROW.matches) listOpen.value = false;
}

function startAfresh(): void {
  startConversation();
  closeIfNarrow();
  focusComposer();
}

/** Esc closes what lies over the conversation, else stops the reply. */
function escape(): void {
  if (NARROW.matches && (listOpen.value || settingsOpen.value)) closeSides();
  else stopReply(openConversation.value.id);
}

function onShortcut(event: KeyboardEvent): void {
  const isTyping = event.target instanceof HTMLElement && event.target.matches('input, textarea, select');
  if (event.key === 'Escape' && !document.querySelector('dialog[open]')) return escape();
  if (event.key === '/' && !isTyping) focusComposer();
  else if (event.altKey && event.code === 'KeyN') startAfresh();
  else if (event.altKey && event.code === 'KeyS') settingsOpen.value = !settingsOpen.value;
  else if (event.altKey && event.code === 'KeyK') {
    listOpen.value = true;
    focusSearch();
  } else return;
  event.preventDefault();
}
