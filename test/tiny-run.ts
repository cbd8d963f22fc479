/**
 * A pre-training run small enough for tests: a model of a few thousand values on a text made here.
 */
import type { PretrainConfig } from '../src/train/pretrain-config.ts';
import { recipe } from '../src/train/recipes.ts';

/** A text of several documents of unequal length, the same every time. */
export function tinyText(): string {
  const documents = Array.from({ length: 40 }, (_, i) => {
    const words = Array.from(
      { length: 3 + ((i * 7) % 23) },
      (__, j) => ['the', 'llama', 'eats', 'hay', 'and', 'sleeps'][(i * j + j) % 6],
    );
    return JSON.stringify({ text: `${words.join(' ')}.` });
  });
  return `${documents.join('\n')}\n`;
}

/** The `tiny` recipe, smaller still, reading `file`. */
export function tinyConfig(file: string, train: Partial<PretrainConfig['train']> = {}): PretrainConfig {
  const base = recipe('tiny');
  return {
    ...base,
    data: { files: [file], validationFraction: 0.2 },
    tokenizer: { folder: null, vocabSize: 272 },
    model: { ...base.model, dim: 16, numLayers: 1, numHeads: 2, numKvHeads: 1, headDim: 8, ffnDim: 24, maxSeqLen: 16 },
    train: { ...base.train, steps: 12, seqLen: 16, rowsPerStep: 4, rowsPerMicroStep: 2, ...train },
    optimizer: { ...base.optimizer, lr: 1e-2, warmupSteps: 2 },
    evaluation: { everySteps: 4, rows: 4, finalRows: null },
    sample: { ...base.sample, everySteps: 6, maxTokens: 8 },
    checkpoint: { everySteps: 3, keep: 2 },
  };
}
