/**
 * One embedding under construction: the mean of the final hidden states of a text's tokens, gathered as its chunks are computed.
 */
import type { Chunk } from './model-runner.ts';
import type { Logits } from './sampler.ts';
import { Sequence } from './sequence.ts';
import type { Progress, Task } from './task.ts';

export class Embedding implements Task {
  readonly sequence: Sequence;
  readonly result: Promise<Float32Array>;
  #resolve!: (mean: Float32Array) => void;
  #reject!: (error: unknown) => void;
  #sum: Float64Array | null = null;
  /** Tokens in the sum: those that are computed again after a preemption are not counted twice. */
  #numSummed = 0;

  constructor(ids: ArrayLike<number>) {
    this.sequence = new Sequence(ids, ids.length, { isPromptWanted: true });
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  begin(): Chunk['logits'] {
    return 'hidden';
  }

  receive({ numTokens }: { readonly numTokens: number }, hidden: Logits): Progress {
    const { numComputed, length } = this.sequence;
    const dim = hidden.length / numTokens;
    const sum = (this.#sum ??= new Float64Array(dim));
    for (let row = 0; row < numTokens; row++) {
      if (numComputed - numTokens + row !== this.#numSummed) continue;
      for (let i = 0; i < dim; i++) sum[i]! += hidden[row * dim + i]!;
      this.#numSummed++;
    }
    const isOver = numComputed === length;
    if (isOver) this.#resolve(Float32Array.from(sum, (value) => value / length));
    return { numAccepted: 0, isOver };
  }

  fail(error: unknown): void {
    this.#reject(error);
  }
}
