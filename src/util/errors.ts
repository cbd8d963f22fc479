/**
 * Every error a user, a file or a request can cause, and `invariant` for our own bugs.
 * A message is one sentence: what is wrong, what was expected, what to do. Scripts rely on `code`, people on `message`.
 */

export type CriaErrorCode =
  | 'E_SHAPE'
  | 'E_CONFIG'
  | 'E_FORMAT'
  | 'E_CAPACITY'
  | 'E_RUN'
  | 'E_REQUEST'
  | 'E_USAGE'
  | 'E_CONSTRAINT'
  | 'E_INTERNAL';

/** Base of every error the project throws on purpose; `code` is stable across releases. */
export class CriaError extends Error {
  readonly code: CriaErrorCode;

  constructor(code: CriaErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A tensor has another shape or dtype than the operation needs. */
export class ShapeError extends CriaError {
  constructor(message: string, options?: ErrorOptions) {
    super('E_SHAPE', message, options);
  }
}

/** A configuration value is unknown, missing or contradicts another one. */
export class ConfigError extends CriaError {
  constructor(message: string, options?: ErrorOptions) {
    super('E_CONFIG', message, options);
  }
}

/** A file is damaged, hostile or of a kind that is not read. */
export class FormatError extends CriaError {
  constructor(message: string, options?: ErrorOptions) {
    super('E_FORMAT', message, options);
  }
}

/** Memory, disk, KV blocks or context length do not suffice. */
export class CapacityError extends CriaError {
  constructor(message: string, options?: ErrorOptions) {
    super('E_CAPACITY', message, options);
  }
}

/** A run that was set up correctly cannot go on, as when training diverges. */
export class RunError extends CriaError {
  constructor(message: string, options?: ErrorOptions) {
    super('E_RUN', message, options);
  }
}

/** A request to the server or to a remote service cannot be answered; `status` is the HTTP status it maps to. */
export class RequestError extends CriaError {
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super('E_REQUEST', message, options);
    this.status = status;
  }
}

/**
 * A schema, an expression or a grammar that a reply should keep to cannot be used; `pointer` is the JSON pointer of the place
 * in a schema ('' is the whole), null where there is no schema.
 */
export class ConstraintError extends CriaError {
  readonly pointer: string | null;

  constructor(message: string, pointer: string | null = null, options?: ErrorOptions) {
    super('E_CONSTRAINT', message, options);
    this.pointer = pointer;
  }
}

/** A command was called with wrong or missing arguments (exit status 2). */
export class UsageError extends CriaError {
  constructor(message: string, options?: ErrorOptions) {
    super('E_USAGE', message, options);
  }
}

/** Throws if `condition` is false: for states that only a bug of ours can reach; `message` starts with "internal: ". */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new CriaError('E_INTERNAL', message);
}
