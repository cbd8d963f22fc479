/**
 * The vocabulary of each tokenizer as constraints need it, made once: in slices after a model was loaded, or at once for a request that
 * comes before that is over.
 */
import { jsonPreparation } from '../constrain/compile.ts';
import { ConstraintVocabulary } from '../constrain/vocabulary.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { ConstraintError } from '../util/errors.ts';
import { runAtOnce, runInSlices, type Sliced } from '../util/slices.ts';

const vocabularies = new WeakMap<Tokenizer, ConstraintVocabulary>();
const beingMade = new WeakMap<Tokenizer, Sliced<ConstraintVocabulary>>();

/** The vocabulary of a tokenizer; what was begun of it is finished. */
export function constraintVocabulary(tokenizer: Tokenizer): ConstraintVocabulary {
  return vocabularies.get(tokenizer) ?? runAtOnce(making(tokenizer));
}

/** Makes it, and what all JSON constraints share, while other work goes on; takes about half a second for 128,000 tokens. */
export async function prepareConstraints(tokenizer: Tokenizer): Promise<void> {
  if (!vocabularies.has(tokenizer)) await runInSlices(making(tokenizer));
  try {
    await runInSlices(jsonPreparation(vocabularies.get(tokenizer)!));
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error; // a vocabulary that cannot write JSON; who asks for it is told
  }
}

/** The one way of making it, which goes on where it was left. */
function making(tokenizer: Tokenizer): Sliced<ConstraintVocabulary> {
  const work = beingMade.get(tokenizer) ?? made(tokenizer);
  beingMade.set(tokenizer, work);
  return work;
}

function* made(tokenizer: Tokenizer): Sliced<ConstraintVocabulary> {
  const vocabulary = yield* ConstraintVocabulary.made(tokenizer);
  vocabularies.set(tokenizer, vocabulary);
  return vocabulary;
}
