/**
 * The one training loop, for every stage: draw a batch, add up gradients over its micro-steps, clip, update, log, evaluate, sample,
 * checkpoint. It knows nothing about what the loss is or where batches come from, and everything it does is a function of the state it saves,
 * so that a run continued from a checkpoint is the uninterrupted run, bit for bit.
 */
import type { Executable } from '../runtime/backend.ts';
import type { StateStore } from '../runtime/compile.ts';
import { adamwHyper, type AdamwOptions, HYPER_INPUT, SQUARED_NORM_OUTPUT } from '../optim/adamw.ts';
import { clipCoefficient } from '../optim/clip.ts';
import { learningRate, type Schedule } from '../optim/schedule.ts';
import { RunError } from '../util/errors.ts';
import type { TrainerState } from './checkpoint.ts';
import { sumOf } from './evaluate.ts';
import { LOSS_SCALE } from './next-token.ts';

/** The data of one optimizer step. */
export interface StepBatch {
  /** Inputs of each micro-step, without the loss scale. */
  readonly microSteps: readonly Readonly<Record<string, ArrayLike<number>>>[];
  /** What the summed loss is divided by: valid targets, pairs, ... of the whole step. */
  readonly numValid: number;
}

/** What a stage brings to the loop. */
export interface TrainTask {
  /** The batch of step `step`: the same for the same step, always. */
  draw(step: number): StepBatch;
  /** Place in the data before step `step`. */
  cursor(step: number): number;
  /** Named measures on held-out data, `loss` among them; null where nothing is held out. `isLast` asks for all of it. */
  readonly evaluate: ((isLast: boolean) => Promise<EvaluationRecord>) | null;
  /** Something to look at; null where there is nothing. */
  readonly sample: (() => Promise<string>) | null;
}

export type EvaluationRecord = Readonly<Record<string, number>> & { readonly loss: number };

/** The traced steps. */
export interface TrainPrograms {
  /** Adds a micro-step's gradient to the gradient states; its outputs are summed, divided by `numValid` and logged. */
  readonly gradient: Executable;
  readonly norm: Executable;
  readonly update: Executable;
}

export interface LoopSettings {
  readonly schedule: Schedule;
  readonly adamw: AdamwOptions;
  readonly maxGradNorm: number | null;
  /** How often, in steps; null is never. The last step is always evaluated and kept. */
  readonly evaluateEvery: number | null;
  readonly sampleEvery: number | null;
  readonly checkpointEvery: number | null;
}

/** One finished step. Everything but `milliseconds` is the same in every run of this seed. */
export interface StepReport {
  readonly step: number;
  readonly loss: number;
  readonly lr: number;
  readonly gradNorm: number;
  readonly numTokens: number;
  /** Why there was no update; null if there was. */
  readonly skipped: 'non-finite' | 'empty' | null;
  readonly milliseconds: number;
}

/** Who watches and who keeps. Each call is awaited before the loop goes on. */
export interface LoopObserver {
  step(report: StepReport, evaluation: EvaluationRecord | null, sample: string | null): void | Promise<void>;
  checkpoint(state: TrainerState): Promise<void>;
}

export interface LoopInput {
  readonly task: TrainTask;
  readonly programs: TrainPrograms;
  readonly states: StateStore;
  /** States whose gradients a skipped step leaves dirty. */
  readonly gradientNames: readonly string[];
  readonly settings: LoopSettings;
  readonly start: TrainerState;
  readonly observer: LoopObserver;
  /** Aborted: the step under way is finished and kept, then the loop ends. */
  readonly signal: AbortSignal | null;
  /** Milliseconds from any origin; for speed only. */
  readonly now: () => number;
}

// A schedule or a model that is broken does not mend itself; a rare bad batch does not come this often in a row.
const MAX_SKIPPED_IN_A_ROW = 50;

/** Trains to the last step of the schedule, or until the signal; gives the state it ended in, which is checkpointed. */
export async function trainLoop(input: LoopInput): Promise<TrainerState> {
  const { task, settings, observer, signal, now } = input;
  const { totalSteps } = settings.schedule;
  let state = input.start;
  let skippedInARow = 0;
  const isStopped = () => signal?.aborted ?? false;
  while (state.step < totalSteps && !isStopped()) {
    const startedAt = now();
    const { report, numValid } = await trainStep(input, state);
    const milliseconds = now() - startedAt;
    state = advance(state, report, numValid, task);
    const isLast = state.step === totalSteps;
    const evaluation =
      task.evaluate && (isLast || isDue(state.step, settings.evaluateEvery)) ? await task.evaluate(isLast) : null;
    if (evaluation && evaluation.loss < (state.best?.loss ?? Infinity)) {
      state = { ...state, best: { step: state.step, loss: evaluation.loss } };
    }
    const sample = task.sample && isDue(state.step, settings.sampleEvery) ? await task.sample() : null;
    await observer.step({ ...report, numTokens: state.numTokens, milliseconds }, evaluation, sample);
    skippedInARow = report.skipped === 'non-finite' ? skippedInARow + 1 : 0;
    if (skippedInARow >= MAX_SKIPPED_IN_A_ROW) throw divergence(state.step, settings);
    if (isLast || isStopped() || isDue(state.step, settings.checkpointEvery)) await observer.checkpoint(state);
  }
  return state;
}

function isDue(step: number, every: number | null): boolean {
  return every !== null && step % every === 0;
}

/** Gradients of one batch and, if all is finite, the update; the weights are never touched otherwise. */
async function trainStep(
  { task, programs, states, gradientNames, settings }: LoopInput,
  { step, numUpdates }: TrainerState,
): Promise<{ report: Omit<StepReport, 'milliseconds' | 'numTokens'>; numValid: number }> {
  const { microSteps, numValid } = task.draw(step);
  const lr = learningRate(settings.schedule, step);
  const common = { step: step + 1, lr };
  if (numValid === 0) return { report: { ...common, loss: 0, gradNorm: 0, skipped: 'empty' }, numValid };
  let lossSum = 0;
  for (const inputs of microSteps) {
    const outputs = await programs.gradient.run({ ...inputs, [LOSS_SCALE]: [1 / numValid] });
    lossSum += sumOf(outputs.loss!);
  }
  const loss = lossSum / numValid;
  const gradNorm = Math.sqrt((await programs.norm.run({}))[SQUARED_NORM_OUTPUT]![0]!);
  if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) {
    for (const name of gradientNames) clear(states, name);
    return { report: { ...common, loss, gradNorm, skipped: 'non-finite' }, numValid };
  }
  const scale = clipCoefficient(gradNorm, settings.maxGradNorm);
  await programs.update.run({ [HYPER_INPUT]: adamwHyper(lr, numUpdates + 1, settings.adamw, scale) });
  return { report: { ...common, loss, gradNorm, skipped: null }, numValid };
}

function clear(states: StateStore, name: string): void {
  const storage = states.get(name)!;
  if (storage.view) storage.view.fill(0);
  else storage.write(new Float32Array(storage.shape.reduce((a, b) => a * b, 1)));
}

function advance(
  state: TrainerState,
  { skipped }: Pick<StepReport, 'skipped'>,
  numValid: number,
  task: TrainTask,
): TrainerState {
  return {
    ...state,
    step: state.step + 1,
    numUpdates: state.numUpdates + (skipped === null ? 1 : 0),
    numTokens: state.numTokens + numValid,
    numNonFinite: state.numNonFinite + (skipped === 'non-finite' ? 1 : 0),
    numEmpty: state.numEmpty + (skipped === 'empty' ? 1 : 0),
    dataCursor: task.cursor(state.step + 1),
  };
}

function divergence(step: number, { schedule }: LoopSettings): RunError {
  return new RunError(
    `training diverged: ${MAX_SKIPPED_IN_A_ROW} steps in a row up to step ${step} gave no finite gradient; ` +
      `start again with a lower optimizer.lr than ${schedule.lr}`,
  );
}
