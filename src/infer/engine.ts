/**
 * Generates text: takes requests, runs them together step by step and streams their tokens. One step is guess, schedule, run, draw.
 * A reply depends on the model, its prompt, parameters and seed alone, never on what runs beside it, what is cached, or what was guessed.
 */
import { setImmediate } from 'node:timers/promises';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { ConfigError } from '../util/errors.ts';
import { BlockManager } from './block-manager.ts';
import { Embedding } from './embedding.ts';
import { type EngineStats, EngineTotals, type StepReport } from './engine-stats.ts';
import type { Generation } from './generation.ts';
import type { Chunk, ModelRunner } from './model-runner.ts';
import { PrefillBudget } from './prefill-budget.ts';
import { Reply } from './reply.ts';
import { type CheckedRequest, checkContextFits, checkIds, checkRequest, type GenerationRequest } from './request.ts';
import type { Logits } from './sampler.ts';
import { type Scheduled, Scheduler, type SchedulerLimits } from './scheduler.ts';
import { isGenerating, type Sequence } from './sequence.ts';
import { draftAll, DraftLength, type Drafter } from './speculation.ts';
import type { Task } from './task.ts';

/** What the engine asks of a model: `ModelRunner`, or a stand-in in tests. */
export type Runner = Pick<ModelRunner, 'run' | 'copyBlocks' | 'dispose'> & {
  readonly model: {
    readonly config: { readonly vocabSize: number };
    readonly contextLength: number;
    readonly numBlocks: number;
  };
};

export interface EngineOptions extends Partial<SchedulerLimits> {
  /** Guesses tokens, so that one step can check several; it is disposed of with the engine. */
  readonly drafter?: Drafter | null;
  /** Called after each step. */
  readonly onStep?: (report: StepReport) => void;
}

const DEFAULT_LIMITS: SchedulerLimits = { maxNumSequences: 16, maxNumBatchedTokens: 512, prefixCache: true };
/** Choosing tokens yields to the event loop after so long. */
const MAX_BUSY_MS = 4;

/** Runs requests on one model until disposed of. */
export class Engine {
  readonly #runner: Runner;
  readonly #tokenizer: Tokenizer | null;
  readonly #blocks: BlockManager;
  readonly #scheduler: Scheduler;
  readonly #prefillBudget = new PrefillBudget();
  readonly #drafter: Drafter | null;
  readonly #onStep: (report: StepReport) => void;
  readonly #tasks = new Map<Sequence, Task>();
  readonly #totals = new EngineTotals();
  #undelivered: Generation[] = [];
  #loop: Promise<void> | null = null;
  #isDisposed = false;

  /** Without a tokenizer replies have ids and no text. */
  constructor(runner: Runner, tokenizer: Tokenizer | null, options: EngineOptions = {}) {
    const { drafter = null, onStep = () => {}, ...limits } = options;
    this.#runner = runner;
    this.#tokenizer = tokenizer;
    this.#blocks = new BlockManager(runner.model.numBlocks);
    this.#scheduler = new Scheduler(this.#blocks, { ...DEFAULT_LIMITS, ...limits });
    this.#drafter = drafter;
    this.#onStep = onStep;
  }

  /** Starts a request; throws at once if it cannot be answered. */
  generate(request: GenerationRequest): Generation {
    return this.generateMany(request, 1)[0]!;
  }

  /** Starts `n` replies to one prompt, which is computed once; the first is the one that `generate` gives. */
  generateMany(request: GenerationRequest, n: number): Generation[] {
    this.#checkAlive();
    if (!Number.isInteger(n) || n < 1) throw new ConfigError(`the number of replies must be from 1, got ${n}`);
    const checked = checkRequest(request, this.#limits(), this.#tokenizer?.stopIds ?? []);
    const replies = Array.from({ length: n }, (_, index) => this.#createReply(checked, request.signal, index));
    if (request.signal?.aborted) for (const reply of replies) reply.fail(request.signal.reason);
    else {
      for (const reply of replies) this.#tasks.set(reply.sequence, reply);
      this.#lead(replies);
    }
    return replies.map(({ generation }) => generation);
  }

  /** The mean of the final hidden states of all tokens, f32 [dim]. */
  async embed(ids: ArrayLike<number>, { signal }: { readonly signal?: AbortSignal } = {}): Promise<Float32Array> {
    this.#checkAlive();
    const { vocabSize, contextLength } = this.#limits();
    checkIds(ids, vocabSize);
    checkContextFits(ids.length, contextLength);
    signal?.throwIfAborted();
    const task = new Embedding(ids);
    const onAbort = () => this.#cancel(task, signal!.reason);
    signal?.addEventListener('abort', onAbort);
    this.#tasks.set(task.sequence, task);
    this.#start(task.sequence);
    return task.result.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  /** Counts of now and since the beginning. */
  stats(): EngineStats {
    const { running, numSequences, numPreemptions } = this.#scheduler;
    return {
      ...this.#totals.now,
      numRunning: running.length,
      numWaiting: numSequences - running.length,
      kvBlocksTotal: this.#blocks.numBlocks,
      kvBlocksUsed: this.#blocks.numBlocks - this.#blocks.numAvailable,
      kvBlocksCached: this.#blocks.numCached,
      preemptions: numPreemptions,
    };
  }

  /** Forgets what the prefix cache keeps, because the weights of the model have changed; throws ConfigError while requests run. */
  forgetPrefixes(): void {
    if (this.#scheduler.running.length > 0) {
      throw new ConfigError('prefixes cannot be forgotten while requests run; wait for their results');
    }
    this.#blocks.forgetContents();
  }

  /** Cancels what runs and gives memory back. */
  async dispose(): Promise<void> {
    this.#isDisposed = true;
    for (const task of this.#tasks.values()) this.#cancel(task, new ConfigError('the engine was disposed of'));
    await this.#loop;
    this.#drafter?.dispose();
    this.#runner.dispose();
  }

  /** Throws unless every KV block is free, cached, or held by exactly the requests that run. */
  checkInvariants(): void {
    this.#blocks.checkInvariants(this.#scheduler.running);
  }

  #checkAlive(): void {
    if (this.#isDisposed) throw new ConfigError('this engine was disposed of; create another one');
  }

  #limits(): { vocabSize: number; contextLength: number } {
    const { config, contextLength } = this.#runner.model;
    return { vocabSize: config.vocabSize, contextLength };
  }

  #createReply(request: CheckedRequest, signal: AbortSignal | undefined, index: number): Reply {
    return new Reply(request, signal, {
      tokenizer: this.#tokenizer,
      vocabSize: this.#runner.model.config.vocabSize,
      index,
      draftLength: this.#drafter && new DraftLength(this.#drafter.maxDraftTokens),
      onCancel: (reply, reason) => this.#cancel(reply, reason),
    });
  }

  /** Starts the first of some replies to one prompt; the others follow when it is computed. */
  #lead([first, ...others]: readonly Reply[]): void {
    if (!first) return;
    first.siblings = others;
    this.#start(first.sequence);
  }

  #start(sequence: Sequence): void {
    this.#scheduler.add(sequence);
    this.#loop ??= this.#runUntilIdle();
  }

  async #runUntilIdle(): Promise<void> {
    await setImmediate(); // requests made in one go share the first step
    try {
      while (this.#scheduler.numSequences > 0) await this.#step();
    } catch (error) {
      for (const task of this.#tasks.values()) this.#fail(task, error);
    }
    this.#deliver();
    this.#loop = null;
  }

  /** Hands the tokens of the last step to their readers. */
  #deliver(): void {
    const generations = this.#undelivered;
    this.#undelivered = [];
    for (const generation of generations) generation.deliver();
  }

  async #step(): Promise<void> {
    if (this.#drafter) await this.#draft(this.#drafter);
    const { scheduled, copies } = this.#scheduler.schedule(this.#prefillBudget.numTokens);
    if (scheduled.length === 0) return;
    const tasks = scheduled.map(({ sequence }) => this.#tasks.get(sequence)!);
    const startedAt = performance.now();
    let outputs: Logits[];
    try {
      if (copies.length > 0) this.#runner.copyBlocks(copies);
      const running = this.#runner.run(scheduled.map((each, i) => chunkOf(each, tasks[i]!.begin(each))));
      this.#deliver(); // readers do their work while the model computes
      outputs = await running;
    } catch (error) {
      for (const task of tasks) this.#cancel(task, error);
      return;
    }
    const modelMs = performance.now() - startedAt;
    const { numDecoding, ...counts } = this.#totals.addStep(scheduled);
    this.#prefillBudget.observe(modelMs, counts.numPromptTokens, numDecoding);
    await this.#receive(scheduled, tasks, outputs);
    this.#onStep({ ...counts, modelMs, samplingMs: performance.now() - startedAt - modelMs });
  }

  /** Has tokens guessed for the sequences that generate. */
  async #draft(drafter: Drafter): Promise<void> {
    const guessed = this.#scheduler.running.flatMap((sequence) => {
      sequence.numDrafted = 0;
      const task = this.#tasks.get(sequence);
      if (!(task instanceof Reply) || !isGenerating(sequence)) return [];
      return [{ sequence, chooser: task.chooser, draftLength: task.draftLength! }];
    });
    await draftAll(drafter, guessed);
  }

  async #receive(scheduled: readonly Scheduled[], tasks: readonly Task[], outputs: readonly Logits[]): Promise<void> {
    let busySince = performance.now();
    for (const [i, each] of scheduled.entries()) {
      if (performance.now() - busySince > MAX_BUSY_MS) {
        await setImmediate();
        busySince = performance.now();
      }
      const task = tasks[i]!;
      if (each.sequence.status !== 'running') continue; // cancelled meanwhile
      this.#scheduler.computed(each.sequence, each.numTokens);
      try {
        this.#advance(task, each, outputs[i]!);
      } catch (error) {
        this.#fail(task, error);
      }
    }
  }

  #advance(task: Task, scheduled: Scheduled, output: Logits): void {
    const { sequence } = scheduled;
    const isPromptComplete = sequence.numUncomputed === 0 && sequence.length === sequence.promptLength;
    if (isPromptComplete) this.#totals.addPrompt(sequence);
    const numBefore = sequence.length;
    const { numAccepted, isOver } = task.receive(scheduled, output);
    if (task instanceof Reply) this.#undelivered.push(task.generation);
    this.#totals.addGenerated(sequence.length - numBefore);
    this.#totals.addGuesses(scheduled.numDrafted, numAccepted);
    if (isPromptComplete && task instanceof Reply && task.siblings.length > 0) this.#branch(task, output);
    if (isOver) this.#forget(task);
    else if (numAccepted > 0) this.#scheduler.computed(sequence, numAccepted);
  }

  /** Lets replies to the same prompt go on from its last logits, sharing its blocks. */
  #branch(first: Reply, output: Logits): void {
    const logits = output.subarray(output.length - this.#runner.model.config.vocabSize);
    const siblings = first.siblings.filter(({ sequence }) => this.#tasks.has(sequence)); // not cancelled meanwhile
    first.siblings = [];
    const going = siblings.filter((sibling) => {
      sibling.branchFrom(first);
      const isOver = sibling.advance(logits) === null;
      this.#undelivered.push(sibling.generation);
      this.#totals.addGenerated(sibling.sequence.length - sibling.sequence.promptLength);
      if (isOver) this.#forget(sibling);
      return !isOver;
    });
    this.#scheduler.fork(
      first.sequence,
      going.map(({ sequence }) => sequence),
    );
  }

  #cancel(task: Task, reason: unknown): void {
    if (this.#tasks.has(task.sequence)) this.#fail(task, reason);
  }

  #fail(task: Task, error: unknown): void {
    this.#forget(task);
    task.fail(error);
    // Replies that were to branch off do so from another one.
    if (task instanceof Reply) this.#lead(task.siblings.filter(({ sequence }) => this.#tasks.has(sequence)));
  }

  /** Frees what a task holds, at once: a step that still computes it writes to blocks that nobody can get before the next step. */
  #forget({ sequence }: Task): void {
    this.#scheduler.finish(sequence);
    this.#drafter?.forget(sequence);
    this.#tasks.delete(sequence);
  }
}

function chunkOf({ sequence, numTokens, numDrafted }: Scheduled, logits: Chunk['logits']): Chunk {
  const { numComputed, blockIds } = sequence;
  const end = numComputed + numTokens + numDrafted;
  // The table may change while the step runs, if the request is cancelled.
  return { ids: sequence.ids(numComputed, end), startPos: numComputed, blockIds: [...blockIds], logits };
}
