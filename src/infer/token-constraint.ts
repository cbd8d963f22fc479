/**
 * What the engine asks of a constraint on a reply: which tokens may come next. How one is made of a schema, an expression or a grammar is
 * in src/constrain/.
 */

/** A constraint compiled for one vocabulary; shared by all requests that use it. */
export interface TokenConstraint {
  /** A reply's way through it, at the beginning. */
  start(): ConstraintState;
}

/** Where one reply stands. */
export interface ConstraintState {
  /** Bit `id & 31` of word `id >>> 5` tells whether token `id` may come next. Only to be read, and until the next `advance`. Stop tokens have no bits here. */
  allowed(): Uint32Array;
  /** Whether the reply may end here. If it may and no token is allowed, it must. */
  canEnd(): boolean;
  /** The reply goes on with an allowed token. */
  advance(id: number): void;
  /** An independent copy, for tokens that are tried and may be taken back. */
  clone(): ConstraintState;
}
