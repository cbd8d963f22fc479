/**
 * Asks the server for something that depends on what is typed: a moment after the last change, forgetting answers that are overtaken.
 */
import { useEffect, useState } from 'preact/hooks';
import { messageOf } from '../api/http.ts';

export interface Answer<T> {
  /** The newest answer, kept while the next is awaited; null before the first. */
  readonly value: T | null;
  readonly error: string | null;
  readonly isPending: boolean;
}

const NONE = { value: null, error: null, isPending: false } as const;

/** `key` names the question; null asks nothing. */
export function useAnswer<T>(key: string | null, ask: (signal: AbortSignal) => Promise<T>, delayMs = 150): Answer<T> {
  const [answer, setAnswer] = useState<Answer<T>>(NONE);
  useEffect(() => {
    if (key === null) return setAnswer(NONE);
    const controller = new AbortController();
    setAnswer((before) => ({ ...before, isPending: true }));
    const timer = setTimeout(() => {
      ask(controller.signal).then(
        (value) => controller.signal.aborted || setAnswer({ value, error: null, isPending: false }),
        (error: unknown) =>
          controller.signal.aborted || setAnswer(({ value }) => ({ value, error: messageOf(error), isPending: false })),
      );
    }, delayMs);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [key]);
  return answer;
}
