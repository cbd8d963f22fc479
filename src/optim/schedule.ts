/**
 * Learning rate of every step, as pure functions.
 *
 * Steps count from 0, as in Hugging Face's schedulers: with a warm-up the first update has rate 0 (it only fills the moments) and update
 * `warmupSteps` the peak. Source: transformers optimization.py get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup,
 * get_wsd_schedule; the floor is min + (1 - min) * factor, as get_cosine_with_min_lr_schedule_with_warmup.
 */

export type ScheduleShape = 'cosine' | 'linear' | 'wsd' | 'constant';

export interface Schedule {
  readonly shape: ScheduleShape;
  /** Highest learning rate. */
  readonly lr: number;
  /** Lowest rate after the warm-up, as a share of the highest. */
  readonly minLrRatio: number;
  readonly warmupSteps: number;
  readonly totalSteps: number;
  /** Share of all steps that a warm-up-stable-decay schedule decays in, at the end. */
  readonly decayRatio: number;
}

/** Learning rate of the update with index `step`. */
export function learningRate(schedule: Schedule, step: number): number {
  const { shape, lr, minLrRatio, warmupSteps, totalSteps } = schedule;
  if (step < warmupSteps) return (lr * step) / Math.max(1, warmupSteps);
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
  return lr * (minLrRatio + (1 - minLrRatio) * decayFactors[shape](progress, schedule));
}

/** From progress 0 .. 1 after the warm-up to a factor 1 .. 0. */
const decayFactors: Record<ScheduleShape, (progress: number, schedule: Schedule) => number> = {
  cosine: (progress) => 0.5 * (1 + Math.cos(Math.PI * progress)),
  linear: (progress) => 1 - progress,
  constant: () => 1,
  wsd: (progress, { decayRatio, warmupSteps, totalSteps }) => {
    const decaySteps = Math.max(1, decayRatio * totalSteps);
    const left = (1 - progress) * (totalSteps - warmupSteps);
    return Math.min(1, left / decaySteps);
  },
};
