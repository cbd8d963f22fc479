/**
 * What a pre-training run would do, without doing it: the configuration, the first batch with its masks, the plan's memory, an estimate of
 * the time. The data is prepared in a folder that is removed again.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PackedBatch } from '../data/packed-batch.ts';
import type { Backend } from '../runtime/backend.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { modelConfig, type PretrainConfig } from './pretrain-config.ts';
import { preparePretrainData, type OnPhase } from './pretrain-data.ts';
import {
  numParameters,
  pretrainGraphs,
  trainingFlopsPerToken,
  trainingMemory,
  type TrainingMemory,
} from './pretrain-programs.ts';

export interface DryRun {
  readonly config: PretrainConfig;
  readonly numParameters: number;
  readonly trainTokens: number;
  readonly validationTokens: number;
  readonly epochs: number;
  readonly batch: readonly BatchSegment[];
  readonly memory: TrainingMemory;
  readonly flopsPerStep: number;
  /** Null where the machine's peak is unknown. */
  readonly estimatedSeconds: number | null;
}

/** One document's stretch of the first micro-batch. */
export interface BatchSegment {
  readonly row: number;
  /** Place of its first token in the row. */
  readonly start: number;
  readonly tokens: readonly BatchToken[];
}

/** A token and what it has to predict; null where that does not count. */
export interface BatchToken {
  readonly id: number;
  readonly text: string;
  readonly target: number | null;
  readonly targetText: string | null;
}

// What the whole step reaches of the peak of multiply-adds, roughly, on the models these recipes train.
const ASSUMED_SHARE_OF_PEAK = 0.5;

/** Prepares everything up to the first step. */
export async function dryRun(
  config: PretrainConfig,
  backend: Backend,
  peakFlops: number | null,
  onPhase: OnPhase,
): Promise<DryRun> {
  const folder = await mkdtemp(join(tmpdir(), 'cria-dry-run-'));
  try {
    const run = { tokenizer: join(folder, 'tokenizer'), data: join(folder, 'data') };
    const data = await preparePretrainData(config, run, onPhase);
    const { tokenizer, manifest, training } = data;
    const model = modelConfig(config, tokenizer.vocabSize);
    const { seqLen, rowsPerStep, steps } = config.train;
    const flopsPerStep = trainingFlopsPerToken(model, seqLen) * seqLen * rowsPerStep;
    const flopsPerSecond = peakFlops === null ? null : peakFlops * ASSUMED_SHARE_OF_PEAK;
    return {
      config,
      numParameters: numParameters(model),
      trainTokens: manifest.splits.train.numTokens,
      validationTokens: manifest.splits.validation.numTokens,
      epochs: (steps * rowsPerStep) / training.rowsPerEpoch,
      batch: decodeBatch(training.draw(0)[0]!, seqLen, tokenizer),
      memory: trainingMemory(pretrainGraphs(config, model, data), model, backend),
      flopsPerStep,
      estimatedSeconds: flopsPerSecond === null ? null : (steps * flopsPerStep) / flopsPerSecond,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The documents of a batch, token by token, as the model will be asked to predict them. */
function decodeBatch(batch: PackedBatch, seqLen: number, tokenizer: Tokenizer): BatchSegment[] {
  const segments: BatchSegment[] = [];
  const textOf = (id: number): string => tokenizer.decode([id]);
  for (let at = 0; at < batch.segments.length; at += 4) {
    const [first, length] = [batch.segments[at]!, batch.segments[at + 1]!];
    if (length === 0) continue;
    const tokens = Array.from({ length }, (_, i) => {
      const [id, target] = [batch.tokens[first + i]!, batch.targets[first + i]!];
      const counts = target >= 0;
      return { id, text: textOf(id), target: counts ? target : null, targetText: counts ? textOf(target) : null };
    });
    segments.push({ row: Math.floor(first / seqLen), start: first % seqLen, tokens });
  }
  return segments;
}
