/**
 * Constraints on replies: from a JSON Schema, a regular expression, a list of choices or a grammar to what the engine asks for.
 * Compiled constraints are kept with the vocabulary, the least recently used go first.
 */
import type { TokenConstraint } from '../infer/token-constraint.ts';
import { ConstraintError } from '../util/errors.ts';
import type { ConstraintVocabulary } from './vocabulary.ts';

/** How JSON may be spaced: 'limited' allows at most one space, or one line break with indentation, where JSON allows any; 'compact' none. */
export type WhiteSpace = 'limited' | 'compact';

export type JsonOptions = {
  /** Default 'limited'. */
  whiteSpace?: WhiteSpace;
};

/** Replies that are JSON texts valid under `schema` (draft 2020-12 or 7); what is not supported is a ConstraintError with its JSON pointer. */
export function jsonSchemaConstraint(
  schema: unknown,
  vocabulary: ConstraintVocabulary,
  options: JsonOptions = {},
): TokenConstraint {
  return notYet(schema, vocabulary, options);
}

/** Replies that are one JSON object, any. */
export function jsonConstraint(vocabulary: ConstraintVocabulary, options: JsonOptions = {}): TokenConstraint {
  return jsonSchemaConstraint({ type: 'object' }, vocabulary, options);
}

/** Replies that match a regular expression from beginning to end. */
export function regexConstraint(pattern: string, vocabulary: ConstraintVocabulary): TokenConstraint {
  return notYet(pattern, vocabulary);
}

/** Replies that are one of `choices`. */
export function choiceConstraint(choices: readonly string[], vocabulary: ConstraintVocabulary): TokenConstraint {
  return notYet(choices, vocabulary);
}

/** Replies that the rule `root` of a GBNF grammar describes. */
export function grammarConstraint(gbnf: string, vocabulary: ConstraintVocabulary): TokenConstraint {
  return notYet(gbnf, vocabulary);
}

function notYet(..._given: readonly unknown[]): TokenConstraint {
  throw new ConstraintError('Constraints are not available yet; ask without one.');
}
