/**
 * One request as its caller sees it: tokens to iterate over as they come, and the whole result at the end.
 */
import type { FinishReason } from './sequence.ts';
import type { TokenLogprob, TokenLogprobs } from './token-logprobs.ts';

/** One token of a reply. */
export interface GeneratedToken {
  /** Null where text follows that was held back with earlier tokens. */
  readonly id: number | null;
  /** Text that became certain: whole characters, '' while one is unfinished. */
  readonly text: string;
  /** Logarithm of its probability; null if not asked for, or without an id. */
  readonly logprob: number | null;
  /** The most likely tokens at its place, the most likely first; none if not asked for. */
  readonly topLogprobs: readonly TokenLogprob[];
}

export interface Timings {
  /** From the call to the first step of the request. */
  readonly queuedMs: number;
  /** From the first step of the request to its first token. */
  readonly prefillMs: number;
  /** From its first to its last token. */
  readonly decodeMs: number;
  readonly prefillTps: number;
  /** Tokens after the first, per second; 0 if there are none. */
  readonly decodeTps: number;
}

export interface GenerationResult {
  readonly text: string;
  /** Tokens of the reply, without the one that stopped it. */
  readonly ids: readonly number[];
  readonly finishReason: FinishReason;
  /** The stop token that ended the reply; null if something else did. */
  readonly stopId: number | null;
  /** What the model said of that stop token; null without one, or if not asked for. */
  readonly stopLogprobs: TokenLogprobs | null;
  readonly promptTokens: number;
  /** Prompt tokens whose keys and values were there already. */
  readonly cachedTokens: number;
  /** One entry per token of `ids`; null if not asked for. */
  readonly logprobs: readonly TokenLogprobs[] | null;
  /** One entry per token of the prompt; null if not asked for. */
  readonly promptLogprobs: readonly TokenLogprobs[] | null;
  /** Tokens that speculation proposed, and how many of them the reply took. */
  readonly speculation: { readonly drafted: number; readonly accepted: number };
  readonly timings: Timings;
}

/** Yields the tokens of a reply; `result` gives it whole, whether or not anybody iterates. Leaving the iteration early cancels the request. */
export class Generation implements AsyncIterable<GeneratedToken> {
  readonly result: Promise<GenerationResult>;
  readonly #cancel: () => void;
  readonly #tokens: GeneratedToken[] = [];
  #wake: () => void = () => {};
  #isOver = false;
  #resolve!: (result: GenerationResult) => void;
  #reject!: (error: unknown) => void;

  constructor(cancel: () => void) {
    this.#cancel = cancel;
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.result.catch(() => {}); // whoever iterates learns of it there
  }

  /** For the engine: one more token, which waits until it is delivered. */
  push(token: GeneratedToken): void {
    this.#tokens.push(token);
  }

  /** For the engine: whoever iterates gets the tokens so far. */
  deliver(): void {
    this.#wake();
  }

  /** For the engine: the reply is complete. */
  complete(result: GenerationResult): void {
    this.#isOver = true;
    this.#resolve(result);
    this.#wake();
  }

  /** For the engine: the reply ends with an error. */
  fail(error: unknown): void {
    this.#isOver = true;
    this.#reject(error);
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<GeneratedToken, void> {
    try {
      for (let next = 0; ;) {
        if (next < this.#tokens.length) yield this.#tokens[next++]!;
        else if (this.#isOver) break;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      await this.result; // throws what ended it
    } finally {
      if (!this.#isOver) this.#cancel();
    }
  }
}
