/**
 * Replies that call tools in Llama 3.1's formats: a choice of tool turned into a constraint.
 */
import type { TokenConstraint } from '../infer/token-constraint.ts';
import { ConstraintError } from '../util/errors.ts';
import type { ConstraintVocabulary } from './vocabulary.ts';

/** A tool the model may call; `parameters` is the JSON Schema of its arguments, null for any object. */
export type ToolSignature = { name: string; parameters: unknown };

/** 'auto': text or calls, but a call once begun is one of these tools' with valid arguments; 'required': one call at least. */
export type ToolChoice = 'auto' | 'required' | { name: string };

export type ToolOptions = {
  /** Whether a reply may hold several calls. Default false. */
  parallel?: boolean;
};

/** What a reply must keep to so that its calls parse and their arguments are valid; wrong schemas are a ConstraintError. */
export function toolConstraint(
  _tools: readonly ToolSignature[],
  _choice: ToolChoice,
  _vocabulary: ConstraintVocabulary,
  _options: ToolOptions = {},
): TokenConstraint {
  throw new ConstraintError('Constraints are not available yet; ask without one.');
}
