/**
 * The frame of the page: its name, the tabs, the switch between light and dark, and the tab that is open.
 */
import { useSignalEffect } from '@preact/signals';
import { apiKeyWanted } from './api/http.ts';
import { goTo, route } from './route.ts';
import { type Tab, TABS } from './tabs.ts';
import { scheme, toggleScheme } from './theme.ts';
import { ApiKeyDialog } from './ui/api-key-dialog.tsx';
import { Icon } from './ui/icon.tsx';
import { shortcutsOpen, ShortcutsDialog } from './ui/shortcuts-dialog.tsx';

export function App() {
  const open = TABS.find(({ id }) => id === route.value.tab) ?? TABS[0];
  useSignalEffect(() => {
    const tab = TABS.find(({ id }) => id === route.value.tab) ?? TABS[0];
    document.title = `${tab.title} – cria`;
  });
  return (
    <>
      <a class="skip-link" href={`#panel-${open.id}`} onClick={skipToPanel}>
        Skip to content
      </a>
      <header class="bar">
        <span class="brand">cria</span>
        <TabList open={open} />
        <div class="bar-end">
          <button
            class="ghost"
            type="button"
            aria-label="Keyboard shortcuts"
            title="Keyboard shortcuts"
            onClick={() => (shortcutsOpen.value = true)}
          >
            <Icon name="keys" />
          </button>
          <button class="ghost" type="button" aria-label={schemeLabel()} title={schemeLabel()} onClick={toggleScheme}>
            <Icon name={scheme.value === 'dark' ? 'sun' : 'moon'} />
          </button>
        </div>
      </header>
      <main class={`panel panel-${open.id}`}>
        <div
          id={`panel-${open.id}`}
          class="panel-body"
          role="tabpanel"
          aria-labelledby={`tab-${open.id}`}
          tabIndex={-1}
        >
          <open.View key={open.id} />
        </div>
      </main>
      {shortcutsOpen.value && <ShortcutsDialog />}
      {apiKeyWanted.value && <ApiKeyDialog />}
    </>
  );
}

function TabList({ open }: { open: Tab }) {
  return (
    <div class="tabs" role="tablist" aria-label="Views" onKeyDown={(event) => moveTab(event, open)}>
      {TABS.map(({ id, title, icon }) => (
        <button
          key={id}
          id={`tab-${id}`}
          class="tab"
          type="button"
          role="tab"
          aria-selected={id === open.id}
          aria-controls={id === open.id ? `panel-${id}` : undefined}
          tabIndex={id === open.id ? 0 : -1}
          onClick={() => goTo(id)}
        >
          <Icon name={icon} />
          <span>{title}</span>
        </button>
      ))}
    </div>
  );
}

/** Arrow keys, Home and End move between tabs, as the ARIA pattern for tabs says. */
function moveTab(event: KeyboardEvent, open: Tab): void {
  const at = TABS.indexOf(open);
  const places: Record<string, number> = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: TABS.length - 1 };
  const place = places[event.key];
  if (place === undefined) return;
  event.preventDefault();
  const { id } = TABS[(place + TABS.length) % TABS.length]!;
  goTo(id);
  document.getElementById(`tab-${id}`)?.focus();
}

function schemeLabel(): string {
  return scheme.value === 'dark' ? 'Switch to light' : 'Switch to dark';
}

/** The fragment holds the place in the page, so the link moves the focus itself. */
function skipToPanel(event: MouseEvent): void {
  event.preventDefault();
  document.querySelector<HTMLElement>('[role=tabpanel]')?.focus();
}
