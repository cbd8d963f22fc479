/**
 * What training a model of any size takes, by tracing its step: weights, gradients, AdamW's moments and activations.
 */
import type { LlamaConfig } from '../model/config.ts';
import { gradientName, momentNames } from '../optim/adamw.ts';
import type { Precision } from '../tensor/operators.ts';
import { nextTokenGradientGraph } from '../train/next-token.ts';
import { llamaWeightShapes } from '../model/config.ts';
import { causalPairs, graphFlops, stateBytes } from './graph-cost.ts';
import { arenaBytes } from './inference-plan.ts';
import type { Machine } from './machine.ts';

export interface TrainingSizes {
  readonly precision: Precision;
  readonly contextLength: number;
  /** Rows of a micro-step. */
  readonly batch: number;
  /** Compute each layer again for its gradient instead of keeping it. */
  readonly checkpointLayers: boolean;
}

export interface TrainingPlan {
  readonly weightBytes: number;
  readonly gradientBytes: number;
  readonly momentBytes: number;
  readonly activationBytes: number;
  readonly totalBytes: number;
  /** Forward and backward of all rows. */
  readonly stepFlops: number;
  readonly tokensPerStep: number;
}

/** The plan of a model. */
export function trainingPlan(config: LlamaConfig, sizes: TrainingSizes): TrainingPlan {
  const { contextLength, batch } = sizes;
  const numTokens = contextLength * batch;
  const shape = { numTokens, numSegments: batch, numBlocks: batch };
  const trained = { ...config, maxSeqLen: contextLength };
  const graph = nextTokenGradientGraph({ ...sizes, config: trained, shape });
  const weights = [...llamaWeightShapes(config).keys()];
  const bytesOf = (names: readonly string[]) => {
    const wanted = new Set(names);
    return stateBytes(graph, (name) => wanted.has(name));
  };
  const weightBytes = bytesOf(weights);
  const gradientBytes = bytesOf(weights.map(gradientName));
  const momentBytes = momentNames('').length * weightBytes; // states of the update, not of this graph
  const activationBytes = arenaBytes(graph);
  return {
    weightBytes,
    gradientBytes,
    momentBytes,
    activationBytes,
    totalBytes: weightBytes + gradientBytes + momentBytes + activationBytes,
    stepFlops: graphFlops(graph, { numPairs: batch * causalPairs(contextLength, contextLength) }),
    tokensPerStep: numTokens,
  };
}

export interface TrainingTime {
  /** Machines whose memory holds the step together. */
  readonly numMachines: number;
  /** Of all machines together. */
  readonly machineHours: number;
  /** Dollars; null if the machine has no price. */
  readonly cost: number | null;
}

/** Share of a machine's peak that a good training step reaches: 38 to 43 % in the Llama 3 report (arXiv:2407.21783, table 4). */
const SHARE_OF_PEAK = 0.4;

/** Time for `numTokens` tokens at SHARE_OF_PEAK of a machine's peak. */
export function trainingTime(
  plan: TrainingPlan,
  { precision }: Pick<TrainingSizes, 'precision'>,
  machine: Machine,
  numTokens: number,
): TrainingTime {
  const seconds = ((plan.stepFlops / plan.tokensPerStep) * numTokens) / (machine.flops[precision] * SHARE_OF_PEAK);
  const machineHours = seconds / 3600;
  return {
    numMachines: Math.ceil(plan.totalBytes / machine.memoryBytes),
    machineHours,
    cost: machine.pricePerHour === null ? null : machineHours * machine.pricePerHour,
  };
}
