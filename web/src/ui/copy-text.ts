/**
 * Puts text on the clipboard and says so on the button that was pressed.
 */

const SHOWN_MS = 1500;

/** Copies; the button reads "Copied" for a moment, or why it could not. */
export async function copyText(text: string, button: HTMLElement): Promise<void> {
  const done = await write(text);
  const before = button.dataset['state'];
  if (before) return;
  button.dataset['state'] = done ? 'Copied' : 'Not allowed';
  setTimeout(() => delete button.dataset['state'], SHOWN_MS);
}

async function write(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // only secure origins may; the text can still be selected
  }
}
