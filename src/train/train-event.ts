/**
 * What a training run tells whoever watches it. Knows neither terminals nor files.
 */
import type { EvaluationRecord, StepReport } from './loop.ts';

export type TrainEvent =
  | { readonly kind: 'phase'; readonly what: string }
  | ({ readonly kind: 'start' } & RunFacts)
  | ({ readonly kind: 'step' } & StepReport &
      Speed & { readonly evaluation: EvaluationRecord | null; readonly sample: string | null })
  | { readonly kind: 'checkpoint'; readonly path: string; readonly step: number };

/** What is known before the first step. */
export interface RunFacts {
  readonly backend: string;
  readonly numParameters: number;
  readonly vocabSize: number;
  readonly trainTokens: number;
  readonly trainBytes: number;
  readonly validationBytes: number;
  readonly totalSteps: number;
  readonly tokensPerStep: number;
  readonly epochs: number;
  readonly memoryBytes: number;
  /** Steps done before. */
  readonly resumedFrom: number;
}

export interface Speed {
  readonly tokensPerSecond: number;
  /** Of the machine's peak of multiply-adds; null if that is unknown. */
  readonly shareOfPeak: number | null;
  readonly secondsLeft: number;
}

export interface SpeedOptions {
  readonly tokensPerStep: number;
  readonly flopsPerToken: number;
  readonly peakFlops: number | null;
  readonly totalSteps: number;
  readonly firstStep: number;
  readonly now: () => number;
}

// Steps over which the shown speed is smoothed.
const SMOOTHING_STEPS = 10;

/** A function that turns the time of each finished step into speed and the time left, evaluations and all included. */
export function speedMeter(options: SpeedOptions): (step: number, milliseconds: number) => Speed {
  const { tokensPerStep, flopsPerToken, peakFlops, totalSteps, firstStep, now } = options;
  const startedAt = now();
  let smoothMs = 0;
  return (step, milliseconds) => {
    const weight = Math.max(1 / (step - firstStep), 1 / SMOOTHING_STEPS);
    smoothMs += weight * (milliseconds - smoothMs);
    const tokensPerSecond = (1000 * tokensPerStep) / smoothMs;
    const meanMs = (now() - startedAt) / (step - firstStep);
    return {
      tokensPerSecond,
      shareOfPeak: peakFlops === null ? null : (tokensPerSecond * flopsPerToken) / peakFlops,
      secondsLeft: ((totalSteps - step) * meanMs) / 1000,
    };
  };
}
