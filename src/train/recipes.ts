/**
 * Pre-training recipes: whole configurations as typed code, each a change of the one before it.
 */
import { sizeConfig } from '../model/sizes.ts';
import { ConfigError } from '../util/errors.ts';
import type { PretrainConfig } from './pretrain-config.ts';

/** Reaches its best held-out loss on one megabyte of Shakespeare within five minutes on two cores; found by experiment (docs/benchmarks.md). */
const nano: PretrainConfig = {
  seed: 1,
  data: { files: ['cria:shakespeare.txt'], validationFraction: 0.1 },
  tokenizer: { folder: null, vocabSize: 1024 },
  model: modelOf('nano'),
  train: {
    steps: 1000,
    seqLen: 256,
    rowsPerStep: 8,
    rowsPerMicroStep: 8,
    precision: 'bf16',
    checkpointLayers: false,
  },
  optimizer: {
    lr: 3e-3,
    schedule: 'cosine',
    warmupSteps: 50,
    minLrRatio: 0.1,
    decayRatio: 0.2,
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weightDecay: 0.1,
    maxGradNorm: 1,
  },
  evaluation: { everySteps: 100, rows: 64, finalRows: null },
  sample: { everySteps: 200, prompt: '\n', maxTokens: 60, temperature: 0.8 },
  checkpoint: { everySteps: 250, keep: 2 },
};

/** Trains in seconds and learns little: for tests and for trying things out. */
const tiny: PretrainConfig = {
  ...nano,
  tokenizer: { folder: null, vocabSize: 384 },
  model: modelOf('tiny'),
  train: { ...nano.train, steps: 60, seqLen: 64, rowsPerStep: 8, rowsPerMicroStep: 4, precision: 'f32' },
  optimizer: { ...nano.optimizer, warmupSteps: 5 },
  evaluation: { everySteps: 20, rows: 16, finalRows: 128 },
  sample: { ...nano.sample, everySteps: 30, maxTokens: 40 },
  checkpoint: { everySteps: 20, keep: 2 },
};

/** The model and step of the training benchmark: 30 million parameters, 4,096 tokens a step. */
const nano30m: PretrainConfig = {
  ...nano,
  tokenizer: { folder: null, vocabSize: 8192 },
  model: modelOf('nano-30m'),
  train: { ...nano.train, seqLen: 512, rowsPerStep: 8, rowsPerMicroStep: 8 },
  optimizer: { ...nano.optimizer, lr: 1e-3, warmupSteps: 100 },
};

const RECIPES = { nano, tiny, 'nano-30m': nano30m } as const satisfies Record<string, PretrainConfig>;

export type RecipeName = keyof typeof RECIPES;

export const recipeNames: readonly RecipeName[] = Object.keys(RECIPES) as RecipeName[];

/** The configuration of a named recipe; an unknown name is a ConfigError that lists the known ones. */
export function recipe(name: string): PretrainConfig {
  if (Object.hasOwn(RECIPES, name)) return RECIPES[name as RecipeName];
  throw new ConfigError(`there is no recipe "${name}"; use one of ${recipeNames.join(', ')}`);
}

function modelOf(size: string): PretrainConfig['model'] {
  const { vocabSize: _, ...model } = sizeConfig(size);
  return model;
}
