/**
 * The list of keyboard shortcuts.
 */
import { signal } from '@preact/signals';
import { Dialog } from './dialog.tsx';

/** Whether it is shown. */
export const shortcutsOpen = signal(false);

const SHORTCUTS: readonly (readonly [keys: readonly string[], meaning: string])[] = [
  [['Enter'], 'Send the message'],
  [['Shift', 'Enter'], 'New line'],
  [['Esc'], 'Stop the reply, or leave editing'],
  [['Alt', 'N'], 'New conversation'],
  [['Alt', 'K'], 'Search conversations'],
  [['Alt', 'S'], 'Settings of the conversation'],
  [['/'], 'Go to the message box'],
  [['←', '→'], 'Move between tabs, when one has the focus'],
  [['?'], 'This list'],
];

addEventListener('keydown', (event) => {
  const isTyping = event.target instanceof HTMLElement && event.target.matches('input, textarea, select');
  if (event.key === '?' && !isTyping) shortcutsOpen.value = true;
});

export function ShortcutsDialog() {
  return (
    <Dialog title="Keyboard shortcuts" onClose={() => (shortcutsOpen.value = false)}>
      <dl class="shortcuts">
        {SHORTCUTS.map(([keys, meaning]) => (
          <div key={meaning}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
