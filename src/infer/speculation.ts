/**
 * What the engine asks of a way to guess tokens, and how many guesses a reply is worth. Guesses never change a reply: the engine draws every
 * token from the model's own logits, and a guess is taken only where it is the token drawn (docs/decisions).
 */
import type { Sequence } from './sequence.ts';
import type { TokenChooser } from './token-chooser.ts';

/** A sequence that generates, and how many guesses are wanted for it. */
export interface DraftRequest {
  readonly sequence: Sequence;
  readonly chooser: TokenChooser;
  readonly maxTokens: number;
}

/** Guesses tokens: `NgramDrafter` or `ModelDrafter`. */
export interface Drafter {
  /** Most guesses per sequence and step. */
  readonly maxDraftTokens: number;
  /** For each request the tokens that may come next, at most as many as wanted. */
  propose(requests: readonly DraftRequest[]): Promise<readonly (readonly number[])[]>;
  /** The sequence is over. */
  forget(sequence: Sequence): void;
  dispose(): void;
}

/** A sequence with what decides how many guesses it is worth. */
export interface Guessed {
  readonly sequence: Sequence;
  readonly chooser: TokenChooser;
  readonly draftLength: DraftLength;
}

/** Rows of one step that guesses may fill up: more rows cost more than the guesses save. */
const MAX_CHECKED_ROWS = 16;

/** Has tokens guessed for sequences that generate, and puts them behind their tokens. */
export async function draftAll(drafter: Drafter, guessed: readonly Guessed[]): Promise<void> {
  const share = Math.floor(MAX_CHECKED_ROWS / guessed.length) - 1;
  const requests = guessed.flatMap(({ sequence, chooser, draftLength }) => {
    // The step gives one more token than it takes guesses.
    const maxTokens = Math.min(share, sequence.maxLength - sequence.length - 1, draftLength.next());
    return maxTokens > 0 ? [{ sequence, chooser, maxTokens }] : [];
  });
  if (requests.length === 0) return;
  const drafts = await drafter.propose(requests);
  for (const [i, { sequence }] of requests.entries()) {
    if (sequence.status === 'running') sequence.draft(drafts[i]!);
  }
}

const MAX_PAUSE = 16; // steps

/** How many guesses to ask for, from how many were taken: a few more after a full success, none for a while after failures in a row. */
export class DraftLength {
  readonly #max: number;
  #length: number;
  #numFailures = 0;
  #pause = 0;

  constructor(max: number) {
    this.#max = max;
    this.#length = Math.ceil(max / 2);
  }

  /** Guesses wanted for the next step. */
  next(): number {
    if (this.#pause === 0) return this.#length;
    this.#pause--;
    return 0;
  }

  /** So many guesses were checked, and so many of them taken. */
  observe(numDrafted: number, numAccepted: number): void {
    if (numDrafted === 0) return;
    this.#length = Math.min(this.#max, numAccepted === numDrafted ? this.#length + 2 : numAccepted + 1);
    this.#numFailures = numAccepted === 0 ? this.#numFailures + 1 : 0;
    if (this.#numFailures > 1) this.#pause = Math.min(MAX_PAUSE, 2 ** (this.#numFailures - 1));
  }
}
