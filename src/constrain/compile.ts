/**
 * Constraints on replies: from a JSON Schema, a regular expression, a list of choices or a grammar to what the engine asks for.
 * Compiled constraints are kept with the vocabulary; the least recently used go first.
 */
import { ConstraintError } from '../util/errors.ts';
import type { Expression } from './expression.ts';
import { gbnfExpression } from './gbnf.ts';
import { GrammarConstraint } from './grammar-constraint.ts';
import { jsonSchemaExpression } from './json-schema.ts';
import type { WhiteSpace } from './json-text.ts';
import { literals } from './literals.ts';
import { regexExpression } from './regex.ts';
import type { ConstraintVocabulary } from './vocabulary.ts';
import { runAtOnce, type Sliced } from '../util/slices.ts';

export type JsonOptions = {
  /** Default 'limited'. */
  whiteSpace?: WhiteSpace;
};

/** Longest source of a constraint, in UTF-16 units. */
const MAX_SOURCE = 1_000_000;

/** Replies that are JSON texts valid under `schema` (draft 2020-12 or 7); what is not supported is a ConstraintError with its JSON pointer. */
export function jsonSchemaConstraint(
  schema: unknown,
  vocabulary: ConstraintVocabulary,
  { whiteSpace = 'limited' }: JsonOptions = {},
): GrammarConstraint {
  return compiled(vocabulary, `schema ${whiteSpace}`, JSON.stringify(schema) ?? '', () =>
    jsonSchemaExpression(vocabulary.json(whiteSpace), vocabulary.matcher, schema),
  );
}

/** Replies that are one JSON object, any. */
export function jsonConstraint(vocabulary: ConstraintVocabulary, options: JsonOptions = {}): GrammarConstraint {
  return jsonSchemaConstraint({ type: 'object' }, vocabulary, options);
}

/** Works out what all JSON constraints of a vocabulary share, so that no reply waits for it; takes about a tenth of a second. */
export function prepareJson(vocabulary: ConstraintVocabulary): void {
  runAtOnce(jsonPreparation(vocabulary));
}

/** The same in slices. */
export function* jsonPreparation(vocabulary: ConstraintVocabulary): Sliced<void> {
  const state = jsonConstraint(vocabulary).start();
  for (const byte of new TextEncoder().encode('{"a": ["b", -1.5e3, {\n  "c": true}, 7')) {
    state.allowed();
    state.advanceByte(byte);
    yield;
  }
}

/** Replies that match a regular expression from beginning to end. */
export function regexConstraint(pattern: string, vocabulary: ConstraintVocabulary): GrammarConstraint {
  return compiled(vocabulary, 'regex', pattern, () => regexExpression(vocabulary.expressions, pattern));
}

/** Replies that are one of `choices`. */
export function choiceConstraint(choices: readonly string[], vocabulary: ConstraintVocabulary): GrammarConstraint {
  if (choices.length === 0) throw new ConstraintError('The list of choices is empty; give at least one.');
  if (choices.includes(''))
    throw new ConstraintError('A choice is the empty text; every reply has at least one token.');
  return compiled(vocabulary, 'choice', JSON.stringify(choices), () => literals(vocabulary.expressions, choices));
}

/** Replies that the rule `root` of a GBNF grammar describes. */
export function grammarConstraint(gbnf: string, vocabulary: ConstraintVocabulary): GrammarConstraint {
  return compiled(vocabulary, 'grammar', gbnf, () => gbnfExpression(vocabulary.expressions, gbnf));
}

/** The constraint of what `build` describes, from the cache if `source` was compiled before. */
export function compiled(
  vocabulary: ConstraintVocabulary,
  kind: string,
  source: string,
  build: () => Expression,
): GrammarConstraint {
  if (source.length > MAX_SOURCE) {
    throw new ConstraintError(`The constraint has ${source.length} characters; at most ${MAX_SOURCE} are read.`);
  }
  return vocabulary.cached(`${kind}\0${source}`, () => {
    const expression = withDepthLimit(() => vocabulary.expressions.build(build));
    if (expression.kind === 'never') throw new ConstraintError('No text satisfies the constraint.');
    return new GrammarConstraint(expression, vocabulary);
  });
}

/** What is nested too deeply for recursion is an error of the source. */
function withDepthLimit<T>(build: () => T): T {
  try {
    return build();
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ConstraintError('The constraint is nested too deeply; make it simpler.', null, { cause });
  }
}
