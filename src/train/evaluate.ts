/**
 * Validation loss in nats per token and in bits per byte of text; the latter compares models with different tokenizers.
 */
import type { PackedBatch } from '../data/packed-batch.ts';
import type { Executable } from '../runtime/backend.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { batchInputs } from './next-token.ts';

export interface Evaluation {
  /** Mean cross-entropy of a target, nats. */
  readonly loss: number;
  /** All cross-entropy, marks at the end of documents included, over all bytes of text. */
  readonly bitsPerByte: number;
  readonly numTargets: number;
  readonly numBytes: number;
}

/** Bytes of text that each id stands for; special tokens stand for none. */
export function tokenByteCounts(tokenizer: Tokenizer): Uint32Array {
  return Uint32Array.from({ length: tokenizer.vocabSize }, (_, id) =>
    tokenizer.isSpecial(id) ? 0 : tokenizer.tokenBytes(id).length,
  );
}

/** Loss over the batches; `measure` runs the graph of `nextTokenLossGraph`. */
export async function evaluateNextToken(
  measure: Executable,
  batches: Iterable<PackedBatch>,
  byteCounts: Uint32Array,
): Promise<Evaluation> {
  let [nats, numTargets, numBytes] = [0, 0, 0];
  for (const batch of batches) {
    const { loss } = await measure.run(batchInputs(batch));
    nats += sumOf(loss!);
    numTargets += batch.numValid;
    for (const target of batch.targets) if (target >= 0) numBytes += byteCounts[target]!;
  }
  return { loss: nats / numTargets, bitsPerByte: nats / Math.LN2 / numBytes, numTargets, numBytes };
}

/** Sum in order, in float64. */
export function sumOf(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i]!;
  return total;
}
