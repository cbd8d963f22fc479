/**
 * The tabs of the page, in order. Another tab is another entry here and a folder beside the others.
 */
import type { ComponentType } from 'preact';
import { ChatTab } from './chat/chat-tab.tsx';
import { InsideTab } from './inside/inside-tab.tsx';
import { ModelsTab } from './models/models-tab.tsx';
import { TokenizerTab } from './tokenizer/tokenizer-tab.tsx';
import type { IconName } from './ui/icon.tsx';

export interface Tab {
  /** Its name in the address. */
  readonly id: string;
  readonly title: string;
  readonly icon: IconName;
  readonly View: ComponentType;
}

/** Never empty: the first is shown where the address names none. */
export const TABS: readonly [Tab, ...Tab[]] = [
  { id: 'chat', title: 'Chat', icon: 'chat', View: ChatTab },
  { id: 'tokenizer', title: 'Tokenizer', icon: 'tokens', View: TokenizerTab },
  { id: 'inside', title: 'Inside', icon: 'inside', View: InsideTab },
  { id: 'models', title: 'Models', icon: 'models', View: ModelsTab },
];
