/**
 * Keeps a run: appends its logs, writes its checkpoints, and tells whoever watches. The same for every stage.
 */
import { type CheckpointContents, checkpointPath, writeCheckpoint } from './checkpoint.ts';
import type { EvaluationRecord, LoopObserver, StepReport } from './loop.ts';
import { openRunLogs, type RunFolder } from './run-folder.ts';
import type { Speed, TrainEvent } from './train-event.ts';

export interface RunObserverOptions {
  readonly run: RunFolder;
  /** Logs go on after this step. */
  readonly startStep: number;
  readonly contents: CheckpointContents;
  readonly keepCheckpoints: number;
  readonly meter: (step: number, milliseconds: number) => Speed;
  readonly watch: (event: TrainEvent) => void;
}

/** An observer for the loop; `close` it when the loop has ended. */
export function runObserver(options: RunObserverOptions): LoopObserver & { close(): void } {
  const { run, contents, meter, watch } = options;
  const logs = openRunLogs(run, options.startStep);
  return {
    step(report, evaluation, sample) {
      const { step, milliseconds } = report;
      logs.metrics.append(metricsRecord(report, evaluation));
      logs.timing.append({ step, milliseconds: Math.round(milliseconds * 1000) / 1000 });
      if (sample !== null) logs.samples.append({ step, text: sample });
      watch({ kind: 'step', ...report, ...meter(step, milliseconds), evaluation, sample });
    },
    async checkpoint(state) {
      for (const log of Object.values(logs)) log.sync(); // a checkpoint must find its records on disk
      await writeCheckpoint(run.checkpoints, state, contents, options.keepCheckpoints);
      watch({ kind: 'checkpoint', path: checkpointPath(run.checkpoints, state.step), step: state.step });
    },
    close() {
      for (const log of Object.values(logs)) log.close();
    },
  };
}

/** One line of metrics.jsonl: nothing in it depends on time or machine load. */
function metricsRecord(report: StepReport, evaluation: EvaluationRecord | null): { step: number } {
  const { step, loss, lr, gradNorm, numTokens, skipped } = report;
  const heldOut = Object.entries(evaluation ?? {}).map(([name, value]) => [`val_${name}`, value]);
  return {
    step,
    loss,
    lr,
    grad_norm: gradNorm,
    tokens: numTokens,
    ...(skipped === null ? {} : { skipped }),
    ...Object.fromEntries(heldOut),
  };
}
