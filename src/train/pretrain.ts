/**
 * Pre-training, top to bottom: text, tokenizer, tokens, batches, model, traced steps, loop.
 * What a run looks like while it goes on is up to whoever passes `watch`.
 */
import { type LlamaConfig, llamaWeightShapes } from '../model/config.ts';
import { gradientName } from '../optim/adamw.ts';
import type { Backend, Executable } from '../runtime/backend.ts';
import { continueFrom, type TrainerState } from './checkpoint.ts';
import { evaluateNextToken, tokenByteCounts } from './evaluate.ts';
import { type LoopSettings, type TrainTask, trainLoop } from './loop.ts';
import { batchInputs } from './next-token.ts';
import { modelConfig, type PretrainConfig } from './pretrain-config.ts';
import { type PretrainData, preparePretrainData } from './pretrain-data.ts';
import {
  checkTrainingMemory,
  compilePrograms,
  numParameters,
  pretrainGraphs,
  trainingFlopsPerToken,
  trainingMemory,
  type TrainingMemory,
} from './pretrain-programs.ts';
import { openRun } from './run-folder.ts';
import { runObserver } from './run-observer.ts';
import { textSampler } from './text-sampler.ts';
import { type RunFacts, speedMeter, type TrainEvent } from './train-event.ts';
import { createTrainingStates, trainedModelContents } from './training-states.ts';

export interface PretrainInput {
  readonly config: PretrainConfig;
  /** Folder of the run. */
  readonly out: string;
  /** Continue the run that is there. */
  readonly isResumed: boolean;
  readonly backend: Backend;
  /** Multiply-adds per second that the machine is capable of, times two; null if unknown. */
  readonly peakFlops: number | null;
  readonly watch: (event: TrainEvent) => void;
  /** Aborted: the step under way is finished and kept, then the run ends. */
  readonly signal: AbortSignal | null;
  /** Milliseconds from any origin. */
  readonly now: () => number;
}

/** Trains a configuration to its end or to the signal; the newest checkpoint of the run folder is then the model. */
export async function pretrain(input: PretrainInput): Promise<TrainerState> {
  const { config, backend, watch, now } = input;
  const run = await openRun(input.out, config, input.isResumed);
  const data = await preparePretrainData(config, run, (what) => watch({ kind: 'phase', what }));
  const model = modelConfig(config, data.tokenizer.vocabSize);
  const graphs = pretrainGraphs(config, model, data);
  const memory = trainingMemory(graphs, model, backend);
  checkTrainingMemory(memory);

  const states = createTrainingStates(backend, model, config.seed);
  const contents = trainedModelContents(model, data.tokenizer, states);
  const start = await continueFrom(run.checkpoints, contents.tensors);
  const programs = compilePrograms(graphs, backend, states);
  const facts = runFacts(config, model, data, memory);
  watch({ kind: 'start', ...facts, backend: backend.name, resumedFrom: start.step });

  const flopsPerToken = trainingFlopsPerToken(model, config.train.seqLen);
  const meter = speedMeter({ ...facts, ...input, flopsPerToken, firstStep: start.step, now });
  const keepCheckpoints = config.checkpoint.keep;
  const observer = runObserver({ run, startStep: start.step, contents, keepCheckpoints, meter, watch });
  const gradientNames = [...llamaWeightShapes(model).keys()].map(gradientName);
  const sampler = textSampler({
    ...config.sample,
    config: model,
    backend,
    states,
    precision: config.train.precision,
    tokenizer: data.tokenizer,
    seed: config.seed,
  });
  const task = pretrainTask(config, data, programs.measure, sampler.sample);
  const settings = loopSettings(config);
  try {
    return await trainLoop({ ...input, task, programs, states, gradientNames, settings, start, observer });
  } finally {
    observer.close();
    await sampler.close();
  }
}

function pretrainTask(
  config: PretrainConfig,
  data: PretrainData,
  measure: Executable,
  sample: () => Promise<string>,
): TrainTask {
  const { training, validation } = data;
  const byteCounts = tokenByteCounts(data.tokenizer);
  return {
    draw(step) {
      const batches = training.draw(step);
      const numValid = batches.reduce((sum, batch) => sum + batch.numValid, 0);
      return { microSteps: batches.map(batchInputs), numValid };
    },
    cursor: training.cursor,
    evaluate:
      validation &&
      (async (isLast) => {
        const batches = validation.batches(isLast ? config.evaluation.finalRows : config.evaluation.rows);
        const { loss, bitsPerByte } = await evaluateNextToken(measure, batches, byteCounts);
        return { loss, bits_per_byte: bitsPerByte };
      }),
    sample,
  };
}

function loopSettings({ train, optimizer, evaluation, sample, checkpoint }: PretrainConfig): LoopSettings {
  return {
    schedule: { ...optimizer, shape: optimizer.schedule, totalSteps: train.steps },
    adamw: optimizer,
    maxGradNorm: optimizer.maxGradNorm,
    evaluateEvery: evaluation.everySteps,
    sampleEvery: sample.everySteps,
    checkpointEvery: checkpoint.everySteps,
  };
}

function runFacts(
  { train }: PretrainConfig,
  model: LlamaConfig,
  { manifest: { splits }, training }: PretrainData,
  { stateBytes, activationBytes }: TrainingMemory,
): Omit<RunFacts, 'backend' | 'resumedFrom'> {
  return {
    numParameters: numParameters(model),
    vocabSize: model.vocabSize,
    trainTokens: splits.train.numTokens,
    trainBytes: splits.train.numBytes,
    validationBytes: splits.validation.numBytes,
    totalSteps: train.steps,
    tokensPerStep: train.rowsPerStep * train.seqLen,
    epochs: (train.steps * train.rowsPerStep) / training.rowsPerEpoch,
    memoryBytes: stateBytes + activationBytes,
  };
}
