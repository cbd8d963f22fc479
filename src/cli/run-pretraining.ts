/**
 * A pre-training run in the terminal: backend, view, and Ctrl-C. What `cria pretrain` and `cria start` share.
 */
import type { Backend } from '../runtime/backend.ts';
import type { TrainerState } from '../train/checkpoint.ts';
import type { EvaluationRecord } from '../train/loop.ts';
import type { PretrainConfig } from '../train/pretrain-config.ts';
import type { TrainEvent } from '../train/train-event.ts';
import { type CommandIo, logLine } from './io.ts';
import { chooseBackend } from './open-model.ts';

export interface FinishedRun extends TrainerState {
  /** Folder of the newest checkpoint written; null if there was nothing left to do. */
  readonly checkpoint: string | null;
  readonly evaluation: EvaluationRecord | null;
  readonly seconds: number;
}

/** Trains with progress on stderr until the end or Ctrl-C. */
export async function runPretraining(
  config: PretrainConfig,
  out: string,
  isResumed: boolean,
  io: CommandIo,
): Promise<FinishedRun> {
  const [{ pretrain }, { trainView }] = await Promise.all([import('../train/pretrain.ts'), import('./train-view.ts')]);
  const machine = await openTrainingBackend(config, io);
  const startMs = monotonicMs();
  const show = trainView(io, monotonicMs);
  let [checkpoint, evaluation]: [string | null, EvaluationRecord | null] = [null, null];
  const watch = (event: TrainEvent): void => {
    if (event.kind === 'step') evaluation = event.evaluation ?? evaluation;
    if (event.kind === 'checkpoint') checkpoint = event.path;
    show(event);
  };
  const { signal, release } = stopSignal(io);
  const input = { config, out, isResumed, ...machine, watch, signal, now: monotonicMs };
  const state = await pretrain(input).finally(release);
  return { ...state, checkpoint, evaluation, seconds: (monotonicMs() - startMs) / 1000 };
}

/** The backend, and the multiply-adds per second, times two, that it reaches at best (null where nothing fast runs). */
export async function openTrainingBackend(
  { train }: PretrainConfig,
  io: CommandIo,
): Promise<{ backend: Backend; peakFlops: number | null }> {
  const { NativeBackend } = await import('../runtime/native.ts');
  const backend = await chooseBackend({}, io);
  if (!(backend instanceof NativeBackend)) return { backend, peakFlops: null };
  return { backend, peakFlops: await backend.probe(train.precision === 'bf16' ? 'multiplyAddBf16' : 'multiplyAddF32') };
}

/** Milliseconds from any origin. */
function monotonicMs(): number {
  return performance.now();
}

/** Aborted by the first Ctrl-C or termination; the second ends the process as usual. */
function stopSignal(io: CommandIo): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const stop = (): void => {
    logLine(io, '\nstopping after this step, with a checkpoint; once more stops at once');
    controller.abort();
    release();
  };
  const release = (): void => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, stop);
  };
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, stop);
  return { signal: controller.signal, release };
}
