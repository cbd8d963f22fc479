/**
 * Where a message is written. Enter sends, Shift Enter begins a new line.
 */
import { signal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { chosenModel } from '../api/models.ts';
import { afterRender } from '../ui/after-render.ts';
import { Icon } from '../ui/icon.tsx';
import { running, sendMessage, stopReply } from './answer.ts';
import { openConversation, openMessages } from './chat-state.ts';
import { ContextMeter } from './context-meter.tsx';

/** What is written and not yet sent. */
const draftText = signal('');

/** Puts the cursor into the message box. */
export function focusComposer(): void {
  afterRender(() => document.querySelector<HTMLTextAreaElement>('#message')?.focus());
}

export function Composer() {
  const box = useRef<HTMLTextAreaElement>(null);
  const { id } = openConversation.value;
  const isRunning = running.value.has(id);
  const text = draftText.value;
  useLayoutEffect(() => grow(box.current), [text]);
  const send = () => {
    if (text.trim() === '' || isRunning || chosenModel.value === null) return;
    sendMessage(openConversation.value, openMessages.value.at(-1)?.id ?? null, text);
    draftText.value = '';
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <div class="composer-box">
        <textarea
          id="message"
          ref={box}
          rows={1}
          aria-label="Message"
          placeholder="Write a message"
          value={text}
          onInput={(event) => (draftText.value = event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            send();
          }}
        />
        {isRunning ? (
          <button class="round" type="button" aria-label="Stop" title="Stop (Esc)" onClick={() => stopReply(id)}>
            <Icon name="stop" />
          </button>
        ) : (
          <button
            class="round"
            type="submit"
            aria-label="Send"
            title="Send (Enter)"
            disabled={text.trim() === '' || chosenModel.value === null}
          >
            <Icon name="send" />
          </button>
        )}
      </div>
      <div class="composer-foot">
        <span class="keys-hint">
          <kbd>Enter</kbd> sends, <kbd>Shift</kbd> <kbd>Enter</kbd> begins a new line
        </span>
        <ContextMeter />
      </div>
    </form>
  );
}

const MAX_HEIGHT_PX = 240;

function grow(box: HTMLTextAreaElement | null): void {
  if (!box) return;
  box.style.height = 'auto';
  box.style.height = `${Math.min(box.scrollHeight, MAX_HEIGHT_PX)}px`;
}
