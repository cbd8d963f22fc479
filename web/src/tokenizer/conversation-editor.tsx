/**
 * A conversation to tokenize: messages with their roles.
 */
import type { ShownMessage } from '../api/inside.ts';
import { Icon } from '../ui/icon.tsx';

const ROLES = ['system', 'user', 'assistant'] as const;

interface Props {
  readonly messages: readonly ShownMessage[];
  readonly onChange: (messages: readonly ShownMessage[]) => void;
}

export function ConversationEditor({ messages, onChange }: Props) {
  const change = (at: number, part: Partial<ShownMessage>) =>
    onChange(messages.map((message, i) => (i === at ? { ...message, ...part } : message)));
  const next = messages.at(-1)?.role === 'user' ? 'assistant' : 'user';
  return (
    <div class="stack">
      {messages.map(({ role, content }, i) => (
        <div class="turn" key={i}>
          <select
            aria-label={`Role of message ${i + 1}`}
            value={role}
            onChange={(event) => change(i, { role: event.currentTarget.value as ShownMessage['role'] })}
          >
            {ROLES.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
          <textarea
            rows={2}
            aria-label={`Message ${i + 1}`}
            value={content}
            onInput={(event) => change(i, { content: event.currentTarget.value })}
          />
          <button
            class="ghost small"
            type="button"
            aria-label={`Remove message ${i + 1}`}
            disabled={messages.length === 1}
            onClick={() => onChange(messages.filter((_, at) => at !== i))}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
      <button class="plain" type="button" onClick={() => onChange([...messages, { role: next, content: '' }])}>
        <Icon name="plus" /> Add a message
      </button>
    </div>
  );
}
