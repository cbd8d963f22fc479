/**
 * One message with what can be done with it: copy, edit, ask again, look at another branch.
 */
import { memo } from 'preact/compat';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { afterRender } from '../ui/after-render.ts';
import { copyText } from '../ui/copy-text.ts';
import { Icon, type IconName } from '../ui/icon.tsx';
import { Markdown } from '../ui/markdown.tsx';
import { answerAgain, goOn, running, sendMessage } from './answer.ts';
import { chooseBranch, openConversation, openMessages } from './chat-state.ts';
import { focusComposer } from './composer.tsx';
import { branches, type Message, type Reply } from './conversation.ts';

export const MessageView = memo(function MessageView({ message }: { message: Message }) {
  const [isEdited, setIsEdited] = useState(false);
  const { role, text, reply } = message;
  const isRunning = reply?.finish === 'running' && running.value.has(openConversation.value.id);
  return (
    <li class={`message message-${role}`} id={`m-${message.id}`}>
      <h2 class="unseen">{role === 'user' ? 'You' : (reply?.model ?? 'Model')}</h2>
      {isEdited ? (
        <Editor message={message} onDone={() => setIsEdited(false)} />
      ) : (
        <>
          {role === 'user' && <p class="said">{text}</p>}
          {reply && (reply.isContinuation ? <p class="prose continued">{text}</p> : <Markdown text={text} />)}
          {isRunning && text === '' && <Thinking />}
          {reply?.error && (
            <p class="problem" role="alert">
              {reply.error}
            </p>
          )}
          {!isRunning && <Actions message={message} onEdit={() => setIsEdited(true)} />}
        </>
      )}
    </li>
  );
});

function Thinking() {
  return (
    <p class="thinking" aria-hidden="true">
      <span />
      <span />
      <span />
    </p>
  );
}

function Actions({ message, onEdit }: { message: Message; onEdit: () => void }) {
  const isBusy = running.value.has(openConversation.value.id);
  return (
    <div class="actions">
      <Branches message={message} />
      <Action icon="copy" label="Copy" onClick={(event) => void copyText(message.text, event.currentTarget)} />
      {message.role === 'user' ? (
        <Action icon="edit" label="Edit" isDisabled={isBusy} onClick={onEdit} />
      ) : (
        <Action
          icon="again"
          label="Answer again"
          isDisabled={isBusy}
          onClick={(event) => {
            answerAgain(openConversation.value, message);
            if (isByKeyboard(event)) focusComposer();
          }}
        />
      )}
      {message.reply?.isContinuation && openMessages.value.at(-1)?.id === message.id && (
        <button
          class="link"
          type="button"
          disabled={isBusy}
          onClick={(event) => {
            goOn(openConversation.value, message);
            if (isByKeyboard(event)) focusComposer();
          }}
        >
          Go on
        </button>
      )}
      {message.reply && <Facts reply={message.reply} />}
    </div>
  );
}

/** A press without a pointer: what was focused is about to go, so that the focus has to be put elsewhere. */
function isByKeyboard({ detail }: { detail: number }): boolean {
  return detail === 0;
}

interface ActionProps {
  readonly icon: IconName;
  readonly label: string;
  readonly isDisabled?: boolean;
  readonly onClick: (event: { currentTarget: HTMLElement; detail: number }) => void;
}

function Action({ icon, label, isDisabled = false, onClick }: ActionProps) {
  return (
    <button class="ghost small" type="button" aria-label={label} title={label} disabled={isDisabled} onClick={onClick}>
      <Icon name={icon} />
    </button>
  );
}

/** Shows a branch, and puts the focus on the button of this name there, or the one beside it at the end. */
function showBranch(chosen: Message, label: string): void {
  chooseBranch(chosen);
  afterRender(() => {
    const buttons = [...document.querySelectorAll<HTMLElement>(`#m-${chosen.id} .branches button:enabled`)];
    (buttons.find((button) => button.ariaLabel === label) ?? buttons[0])?.focus();
  });
}

/** Which of several branches is shown here. */
function Branches({ message }: { message: Message }) {
  const all = branches(openConversation.value, message.parentId);
  const at = all.findIndex(({ id }) => id === message.id);
  if (all.length < 2) return null;
  const isBusy = running.value.has(openConversation.value.id);
  return (
    <span class="branches" role="group" aria-label="Branches">
      <Action
        icon="left"
        label="Earlier branch"
        isDisabled={at === 0 || isBusy}
        onClick={() => showBranch(all[at - 1]!, 'Earlier branch')}
      />
      <span>
        {at + 1}/{all.length}
      </span>
      <Action
        icon="right"
        label="Later branch"
        isDisabled={at === all.length - 1 || isBusy}
        onClick={() => showBranch(all[at + 1]!, 'Later branch')}
      />
    </span>
  );
}

const ENDINGS: Record<string, string> = {
  length: 'ended at the limit of tokens',
  stopped: 'stopped',
  error: 'broke off',
};

/** How a reply went. */
function Facts({ reply }: { reply: Reply }) {
  const facts = [
    reply.model,
    reply.tokens === null ? null : `${reply.tokens.toLocaleString()} tokens`,
    reply.tokensPerSecond === null
      ? null
      : `${reply.tokensPerSecond.toFixed(reply.tokensPerSecond < 10 ? 1 : 0)} tokens/s`,
    reply.firstMs === null ? null : `first after ${Math.round(reply.firstMs)} ms`,
    ENDINGS[reply.finish] ?? null,
  ];
  return (
    <span class="facts" title={`seed ${reply.seed}`}>
      {facts.filter((fact) => fact !== null).join(' · ')}
    </span>
  );
}

/** Editing sends the changed message as another branch. */
function Editor({ message, onDone }: { message: Message; onDone: () => void }) {
  const box = useRef<HTMLTextAreaElement>(null);
  const [text, setText] = useState(message.text);
  useLayoutEffect(() => {
    box.current?.focus();
    box.current?.setSelectionRange(text.length, text.length);
  }, []);
  const send = () => {
    if (text.trim() === '') return;
    onDone();
    sendMessage(openConversation.value, message.parentId, text);
    focusComposer();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Escape') {
      event.stopPropagation(); // Esc elsewhere stops the reply
      onDone();
      focusComposer();
    } else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
  };
  return (
    <div class="editor">
      <textarea
        ref={box}
        rows={3}
        aria-label="Edit the message"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <div class="row-end">
        <button class="plain" type="button" onClick={onDone}>
          Cancel
        </button>
        <button class="primary" type="button" onClick={send}>
          Send
        </button>
      </div>
    </div>
  );
}
