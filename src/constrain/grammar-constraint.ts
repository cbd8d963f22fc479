/**
 * An expression as a constraint on the tokens of one vocabulary.
 */
import type { ConstraintState, TokenConstraint } from '../infer/token-constraint.ts';
import { ConstraintError, invariant } from '../util/errors.ts';
import type { Expression } from './expression.ts';
import type { MatchState } from './matcher.ts';
import type { ConstraintVocabulary } from './vocabulary.ts';

/** Replies that `expression`, made with the vocabulary's table, describes. */
export class GrammarConstraint implements TokenConstraint {
  readonly expression: Expression;
  readonly #vocabulary: ConstraintVocabulary;

  constructor(expression: Expression, vocabulary: ConstraintVocabulary) {
    this.expression = expression;
    this.#vocabulary = vocabulary;
  }

  start(): GrammarState {
    this.#vocabulary.matcher.startWork();
    return new GrammarState(this.#vocabulary, this.#vocabulary.matcher.start(this.expression));
  }
}

/** Where a reply stands in an expression. */
export class GrammarState implements ConstraintState {
  readonly #vocabulary: ConstraintVocabulary;
  #state: MatchState;

  constructor(vocabulary: ConstraintVocabulary, state: MatchState) {
    this.#vocabulary = vocabulary;
    this.#state = state;
  }

  allowed(): Uint32Array {
    this.#vocabulary.trim();
    const mask = this.#vocabulary.masks.allowed(this.#state);
    if (!this.#state.canEnd && mask.every((word) => word === 0)) {
      throw new ConstraintError('No token of this vocabulary goes on with what the constraint asks for next.');
    }
    return mask;
  }

  canEnd(): boolean {
    return this.#state.canEnd;
  }

  advance(id: number): void {
    let state: MatchState | null = this.#state;
    this.#vocabulary.matcher.startWork();
    const bytes = this.#vocabulary.bytesOf(id);
    for (let i = 0; i < bytes.length && state !== null; i++) state = this.#vocabulary.matcher.step(state, bytes[i]!);
    if (state === null || bytes.length === 0) throw new ConstraintError(`Token ${id} is not allowed here.`);
    this.#state = state;
  }

  /** The reply goes on with a byte, which may be a part of a token. */
  advanceByte(byte: number): void {
    const state = this.#vocabulary.matcher.step(this.#state, byte);
    invariant(state !== null, `internal: byte ${byte} is not allowed here`);
    this.#state = state;
  }

  /** Whether a byte may come next. */
  allowsByte(byte: number): boolean {
    return this.#vocabulary.matcher.step(this.#state, byte) !== null;
  }

  clone(): GrammarState {
    return new GrammarState(this.#vocabulary, this.#state);
  }
}
