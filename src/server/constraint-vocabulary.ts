/**
 * The vocabulary of each tokenizer as constraints need it, made once: in slices after a model was loaded, or at once for a request that
 * comes before that is over.
 */
import { jsonPreparation } from '../constrain/compile.ts';
import { ConstraintVocabulary } from '../constrain/vocabulary.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { runAtOnce, runInSlices, type Sliced } from '../util/slices.ts';

const vocabularies = new WeakMap<Tokenizer, ConstraintVocabulary>();
const beingMade = new WeakMap<Tokenizer, Sliced<ConstraintVocabulary>>();

/** The vocabulary of a tokenizer; what was begun of it is finished. */
export function constraintVocabulary(tokenizer: Tokenizer): ConstraintVocabulary {
  return vocabularies.get(tokenizer) ?? runAtOnce(making(tokenizer));
}

/** Makes it, and what all JSON constraints share, while other work goes on; takes about half a second for 128,000 tokens. Never rejects. */
export async function prepareConstraints(tokenizer: Tokenizer): Promise<void> {
  try {
    if (!vocabularies.has(tokenizer)) await runInSlices(making(tokenizer));
    await runInSlices(jsonPreparation(constraintVocabulary(tokenizer)));
  } catch {
    // Whoever asks for what cannot be made is told, as for JSON of a vocabulary that cannot write it.
  }
}

/** The one way of making it, which goes on where it was left. */
function making(tokenizer: Tokenizer): Sliced<ConstraintVocabulary> {
  const work = beingMade.get(tokenizer) ?? made(tokenizer);
  beingMade.set(tokenizer, work);
  return work;
}

function* made(tokenizer: Tokenizer): Sliced<ConstraintVocabulary> {
  try {
    const vocabulary = yield* ConstraintVocabulary.made(tokenizer);
    vocabularies.set(tokenizer, vocabulary);
    return vocabulary;
  } finally {
    beingMade.delete(tokenizer);
  }
}
