/**
 * In which order rows are drawn from a stream of tokens: a pure function of the seed and the number of rows drawn so far, so that a run
 * resumes from one number. Each epoch lays the rows out from another starting token and visits every row once.
 */
import { ConfigError } from '../util/errors.ts';
import { integer, permutation, randomStream } from '../util/rng.ts';

export interface RowOrder {
  readonly rowsPerEpoch: number;
  /** First token of the row drawn as number `index`; the row is that token and the `seqLen` after it. */
  offset(index: number): number;
}

/** The order of rows of `seqLen` inputs and their targets in `numTokens` tokens. */
export function rowOrder(numTokens: number, seqLen: number, seed: number): RowOrder {
  if (numTokens < seqLen + 1) {
    throw new ConfigError(
      `the training text has ${numTokens} tokens, one row takes ${seqLen + 1}; give more text or set train.seqLen lower`,
    );
  }
  // One row less than could fit, where there are several, leaves room to shift the rows by up to their length.
  const rowsPerEpoch = Math.max(1, Math.floor((numTokens - seqLen) / seqLen));
  const numPhases = Math.min(seqLen, numTokens - rowsPerEpoch * seqLen);
  const phases = randomStream(seed, 'data/phase');
  let epoch: { number: number | null; rows: Uint32Array } = { number: null, rows: new Uint32Array(0) };
  return {
    rowsPerEpoch,
    offset(index) {
      const number = Math.floor(index / rowsPerEpoch);
      if (epoch.number !== number) {
        epoch = { number, rows: permutation(randomStream(seed, `data/rows/${number}`), rowsPerEpoch) };
      }
      return integer(phases, number, numPhases) + epoch.rows[index % rowsPerEpoch]! * seqLen;
    },
  };
}
