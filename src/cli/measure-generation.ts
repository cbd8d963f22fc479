/**
 * Measures how fast an engine reads prompts and generates: several requests at once, greedy, nothing stops them early.
 */
import { Engine } from '../infer/engine.ts';
import type { Generation } from '../infer/generation.ts';
import type { InferenceModel } from '../infer/model.ts';
import { type Chunk, ModelRunner } from '../infer/model-runner.ts';
import type { Logits } from '../infer/sampler.ts';
import { NativeBackend } from '../runtime/native.ts';
import { integer, randomStream } from '../util/rng.ts';

export interface Workload {
  readonly promptTokens: number;
  readonly genTokens: number;
  /** Requests at once. */
  readonly concurrency: number;
}

export interface Measurement {
  /** Prompt tokens of all requests, per second until the last has its first token. */
  readonly prefillTps: number;
  /** Tokens of all requests together, per second while all decode. */
  readonly decodeTps: number;
  readonly msPerStep: number;
  /** Share of the time of decoding that is not spent in kernels; null on backends that do not tell. */
  readonly outsideKernelsShare: number | null;
}

/** Runs the workload once. */
export async function measureGeneration(model: InferenceModel, workload: Workload): Promise<Measurement> {
  const runner = new WatchedRunner(model);
  const engine = new Engine(runner, null, { maxNumSequences: workload.concurrency });
  const startedAt = performance.now();
  const generations = promptsOf(workload, model.config.vocabSize).map((promptIds) =>
    engine.generate({ promptIds, maxTokens: workload.genTokens, sampling: { temperature: 0 }, stopIds: [] }),
  );
  const firstTokens = await Promise.all(generations.map(firstTokenAt));
  await Promise.all(generations.map(({ result }) => result));
  const { steps, seconds, secondsInKernels } = runner.decoding();
  await engine.dispose();
  const prefillSeconds = (Math.max(...firstTokens) - startedAt) / 1000;
  return {
    prefillTps: (workload.concurrency * workload.promptTokens) / prefillSeconds,
    decodeTps: (steps * workload.concurrency) / seconds,
    msPerStep: (1000 * seconds) / steps,
    outsideKernelsShare: secondsInKernels === null ? null : 1 - secondsInKernels / seconds,
  };
}

function promptsOf({ promptTokens, concurrency }: Workload, vocabSize: number): Int32Array[] {
  return Array.from({ length: concurrency }, (_, request) => {
    const stream = randomStream(request, 'prompt');
    return Int32Array.from({ length: promptTokens }, (__, i) => integer(stream, i, vocabSize));
  });
}

async function firstTokenAt(generation: Generation): Promise<number> {
  const tokens = generation[Symbol.asyncIterator]();
  await tokens.next();
  return performance.now(); // the iteration is not left, which would cancel the request
}

/** A runner that knows how long steps took in which every sequence decoded, from the end of one such step to the end of the next. */
class WatchedRunner extends ModelRunner {
  #isDecoding = false;
  #numSequences = 0;
  #firstEnd = 0;
  #lastEnd = 0;
  #steps = 0;

  override async run(chunks: readonly Chunk[]): Promise<Logits[]> {
    const isDecoding = chunks.every(({ ids }) => ids.length === 1) && chunks.length >= this.#numSequences;
    const logits = await super.run(chunks);
    this.#numSequences = Math.max(this.#numSequences, chunks.length);
    if (isDecoding && this.#isDecoding) {
      this.#steps++;
      this.#lastEnd = performance.now();
    } else if (isDecoding) {
      this.#isDecoding = true;
      this.#firstEnd = performance.now();
      this.#kernelSeconds(); // forgets what was before
    }
    return logits;
  }

  /** Steps, their time, and how much of it was spent in kernels. */
  decoding(): { steps: number; seconds: number; secondsInKernels: number | null } {
    return {
      steps: this.#steps,
      seconds: (this.#lastEnd - this.#firstEnd) / 1000,
      secondsInKernels: this.#kernelSeconds(),
    };
  }

  #kernelSeconds(): number | null {
    const { backend } = this.model;
    if (!(backend instanceof NativeBackend)) return null;
    return backend.profile().reduce((sum, { seconds }) => sum + seconds, 0);
  }
}
