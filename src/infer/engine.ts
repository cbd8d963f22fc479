/**
 * Generates text: takes requests, runs them together step by step and streams their tokens. One step is schedule, run, sample.
 * A reply depends on the model, its prompt, parameters and seed alone, never on what runs beside it.
 */
import { setImmediate } from 'node:timers/promises';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { ConfigError } from '../util/errors.ts';
import { type RandomStream, randomStream } from '../util/rng.ts';
import { BlockManager } from './block-manager.ts';
import type { EngineStats, StepReport } from './engine-stats.ts';
import { Generation, type GeneratedToken } from './generation.ts';
import type { Chunk, ModelRunner } from './model-runner.ts';
import { type CheckedRequest, checkRequest, type GenerationRequest } from './request.ts';
import { type Logits, sampleToken } from './sampler.ts';
import { type Scheduled, Scheduler, type SchedulerLimits } from './scheduler.ts';
import { type FinishReason, Sequence } from './sequence.ts';
import { TextStream } from './text-stream.ts';

/** What the engine asks of a model: `ModelRunner`, or a stand-in in tests. */
export type Runner = Pick<ModelRunner, 'run' | 'dispose'> & {
  readonly model: {
    readonly config: { readonly vocabSize: number };
    readonly contextLength: number;
    readonly numBlocks: number;
  };
};

export interface EngineOptions extends Partial<SchedulerLimits> {
  /** Called after each step. */
  readonly onStep?: (report: StepReport) => void;
}

const DEFAULT_LIMITS: SchedulerLimits = { maxNumSequences: 16, maxNumBatchedTokens: 512 };

/** A request while it runs. */
interface Job {
  readonly request: CheckedRequest;
  readonly sequence: Sequence;
  readonly generation: Generation;
  readonly text: TextStream | null;
  readonly random: RandomStream;
  readonly output: { ids: number[]; text: string };
  startedAt: number | null;
  firstTokenAt: number | null;
  /** Why it is to be ended before the next step; null while it is to go on. */
  cancelled: { readonly reason: unknown } | null;
  readonly stopListening: () => void;
}

/** Runs requests on one model until disposed of. */
export class Engine {
  readonly #runner: Runner;
  readonly #tokenizer: Tokenizer | null;
  readonly #blocks: BlockManager;
  readonly #scheduler: Scheduler;
  readonly #jobs = new Map<Sequence, Job>();
  #loop: Promise<void> | null = null;
  #isDisposed = false;

  /** Without a tokenizer replies have ids and no text. */
  constructor(runner: Runner, tokenizer: Tokenizer | null, options: EngineOptions = {}) {
    this.#runner = runner;
    this.#tokenizer = tokenizer;
    this.#blocks = new BlockManager(runner.model.numBlocks);
    this.#scheduler = new Scheduler(this.#blocks, { ...DEFAULT_LIMITS, ...options });
  }

  /** Starts a request; throws at once if it cannot be answered. */
  generate(request: GenerationRequest): Generation {
    if (this.#isDisposed) throw new ConfigError('this engine was disposed of; create another one');
    const job = this.#createJob(request);
    this.#jobs.set(job.sequence, job);
    this.#scheduler.add(job.sequence);
    this.#loop ??= this.#runUntilIdle();
    return job.generation;
  }

  /** Starts `n` replies to one prompt, which is computed once; the first is the one that `generate` gives. */
  generateMany(request: GenerationRequest, n: number): Generation[] {
    return Array.from({ length: n }, () => this.generate(request));
  }

  /** The mean of the final hidden states of all tokens, f32 [dim]. */
  async embed(_ids: ArrayLike<number>, _options: { readonly signal?: AbortSignal } = {}): Promise<Float32Array> {
    throw new ConfigError('this model gives no embeddings');
  }

  /** Counts of now and since the beginning. */
  stats(): EngineStats {
    const numRunning = this.#scheduler.running.length;
    return {
      numRunning,
      numWaiting: this.#scheduler.numSequences - numRunning,
      kvBlocksTotal: this.#blocks.numBlocks,
      kvBlocksUsed: this.#blocks.numBlocks - this.#blocks.numFree,
      kvBlocksCached: 0,
      prefixQueriedTokens: 0,
      prefixHitTokens: 0,
      preemptions: 0,
      steps: 0,
      lastBatchSize: 0,
      lastBatchTokens: 0,
      promptTokens: 0,
      generatedTokens: 0,
      draftedTokens: 0,
      acceptedTokens: 0,
    };
  }

  /** Cancels what runs and gives memory back. */
  async dispose(): Promise<void> {
    this.#isDisposed = true;
    for (const job of this.#jobs.values()) job.cancelled ??= { reason: new ConfigError('the engine was disposed of') };
    await this.#loop;
    this.#runner.dispose();
  }

  /** Throws unless every KV block is free or belongs to exactly one running request. */
  checkInvariants(): void {
    this.#blocks.checkInvariants(this.#scheduler.running);
  }

  #createJob(request: GenerationRequest): Job {
    const { vocabSize } = this.#runner.model.config;
    const { contextLength } = this.#runner.model;
    const checked = checkRequest(request, { vocabSize, contextLength }, this.#tokenizer?.stopIds ?? []);
    const decoder = this.#tokenizer?.streamDecoder({ skipSpecial: true });
    const cancel = (reason: unknown) => (job.cancelled ??= { reason });
    const onAbort = () => cancel(request.signal!.reason);
    const job: Job = {
      request: checked,
      sequence: new Sequence(checked.promptIds, checked.maxLength),
      generation: new Generation(() => cancel(new Error('nobody reads the reply'))),
      text: decoder ? new TextStream(decoder, checked.stopStrings) : null,
      random: randomStream(checked.seed, 'sample'),
      output: { ids: [], text: '' },
      startedAt: null,
      firstTokenAt: null,
      cancelled: request.signal?.aborted ? { reason: request.signal.reason } : null,
      stopListening: () => request.signal?.removeEventListener('abort', onAbort),
    };
    request.signal?.addEventListener('abort', onAbort);
    return job;
  }

  async #runUntilIdle(): Promise<void> {
    await setImmediate(); // requests made in one go share the first step
    try {
      while (this.#scheduler.numSequences > 0) {
        this.#endCancelled();
        await this.#step();
      }
    } catch (error) {
      for (const job of this.#jobs.values()) this.#fail(job, error);
    }
    this.#loop = null;
  }

  async #step(): Promise<void> {
    const scheduled = this.#scheduler.schedule();
    if (scheduled.length === 0) return;
    for (const { sequence } of scheduled) this.#jobs.get(sequence)!.startedAt ??= performance.now();
    const jobs = scheduled.map(({ sequence }) => this.#jobs.get(sequence)!);
    let logits: Logits[];
    try {
      logits = await this.#runner.run(scheduled.map(chunkOf));
    } catch (error) {
      for (const job of jobs) this.#fail(job, error);
      return;
    }
    for (const [i, { sequence, numTokens }] of scheduled.entries()) {
      sequence.numComputed += numTokens;
      if (logits[i]!.length > 0 && !jobs[i]!.cancelled) this.#advance(jobs[i]!, logits[i]!);
    }
  }

  /** Draws the next token of a sequence whose tokens are all computed. */
  #advance(job: Job, logits: Logits): void {
    const { sequence } = job;
    let id: number;
    try {
      id = this.#sample(job, logits);
    } catch (error) {
      return this.#fail(job, error);
    }
    job.firstTokenAt ??= performance.now();
    if (job.request.stopIds.has(id)) return this.#complete(job, 'stop', id);
    sequence.append(id);
    job.output.ids.push(id);
    this.#emit(job, id, job.text?.push(id) ?? '');
    if (job.text?.isStopped) this.#complete(job, 'stop', null);
    else if (sequence.length === sequence.maxLength) this.#complete(job, 'length', null);
  }

  #sample({ request, random, output }: Job, logits: Logits): number {
    const known = logits.subarray(0, this.#tokenizer?.vocabSize ?? logits.length); // models pad their vocabulary
    return sampleToken(known, request.sampling, random, output.ids.length);
  }

  #emit(job: Job, id: GeneratedToken['id'], text: string): void {
    job.output.text += text;
    job.generation.push({ id, text, logprob: null, topLogprobs: [] });
  }

  #complete(job: Job, finishReason: FinishReason, stopId: number | null): void {
    const rest = job.text?.flush() ?? '';
    if (rest !== '') this.#emit(job, null, rest);
    this.#forget(job);
    const { promptLength } = job.sequence;
    const result = {
      ...job.output,
      finishReason,
      stopId,
      promptTokens: promptLength,
      cachedTokens: 0,
      logprobs: null,
      promptLogprobs: null,
      speculation: { drafted: 0, accepted: 0 },
      timings: timingsOf(job),
    };
    job.generation.complete(result);
  }

  #fail(job: Job, error: unknown): void {
    this.#forget(job);
    job.generation.fail(error);
  }

  #endCancelled(): void {
    for (const job of this.#jobs.values()) if (job.cancelled) this.#fail(job, job.cancelled.reason);
  }

  #forget(job: Job): void {
    job.stopListening();
    this.#scheduler.finish(job.sequence);
    this.#jobs.delete(job.sequence);
  }
}

function chunkOf({ sequence, numTokens }: Scheduled): Chunk {
  const { numComputed, length, blockIds } = sequence;
  const end = numComputed + numTokens;
  return {
    ids: sequence.ids(numComputed, end),
    startPos: numComputed,
    blockIds,
    logits: end === length ? 'last' : 'none',
  };
}

function timingsOf({ startedAt, firstTokenAt, sequence, output }: Job) {
  const now = performance.now();
  const prefillMs = (firstTokenAt ?? now) - (startedAt ?? now);
  const decodeMs = now - (firstTokenAt ?? now);
  return {
    queuedMs: 0,
    prefillMs,
    decodeMs,
    prefillTps: perSecond(sequence.promptLength, prefillMs),
    decodeTps: perSecond(Math.max(0, output.ids.length - 1), decodeMs),
  };
}

function perSecond(count: number, ms: number): number {
  return ms > 0 ? (1000 * count) / ms : 0;
}
