/**
 * Focus that follows a change of the page.
 */

/**
 * Does work, such as moving the focus, once what was changed just now is in the page.
 *
 * Preact renders in a microtask that the change has queued, so the next one is late enough; waiting for a frame instead
 * would lose the letters that are typed before a busy machine draws it.
 */
export function afterRender(work: () => void): void {
  queueMicrotask(work);
}
