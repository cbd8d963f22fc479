/**
 * The configuration of a pre-training run: every number in one place, checked. `recipes.ts` gives whole configurations, the command line
 * and JSON files change single values of them.
 */
import { z } from 'zod';
import { checkLlamaConfig, type LlamaConfig } from '../model/config.ts';
import { CapacityError } from '../util/errors.ts';

const positive = z.number().int().positive();
const every = positive.nullable();
const share = z.number().min(0).max(1);

const ropeScalingSchema = z.strictObject({
  factor: z.number(),
  lowFreqFactor: z.number(),
  highFreqFactor: z.number(),
  originalMaxPosition: z.number(),
});

/** All of LlamaConfig but the vocabulary, which the tokenizer brings; values are checked by `checkLlamaConfig`. */
const modelSchema = z.strictObject({
  dim: z.number(),
  numLayers: z.number(),
  numHeads: z.number(),
  numKvHeads: z.number(),
  headDim: z.number(),
  ffnDim: z.number(),
  normEps: z.number(),
  ropeTheta: z.number(),
  ropeScaling: ropeScalingSchema.nullable(),
  maxSeqLen: z.number(),
  tiedEmbeddings: z.boolean(),
}) satisfies z.ZodType<Omit<LlamaConfig, 'vocabSize'>>;

export const pretrainSchema = z.strictObject({
  /** Start of all random numbers: weights, order of the data, samples. */
  seed: z.number().int().nonnegative(),
  data: z.strictObject({
    /** Text or jsonl files; `cria:` stands for the data that ships with cria. */
    files: z.array(z.string()).min(1),
    /** Share of the bytes, at the end, that is held out. */
    validationFraction: share,
  }),
  tokenizer: z.strictObject({
    /** Folder of a tokenizer; null trains one on the training part of the data. */
    folder: z.string().nullable(),
    /** Ids of a tokenizer that is trained. */
    vocabSize: positive,
  }),
  model: modelSchema,
  train: z.strictObject({
    steps: positive,
    /** Tokens of a row. */
    seqLen: positive,
    /** Rows of one optimizer step, and how many of them are computed at a time. */
    rowsPerStep: positive,
    rowsPerMicroStep: positive,
    /** Arithmetic of the products; weights, gradients and moments are f32 in both. */
    precision: z.enum(['f32', 'bf16']),
    /** Keep less and compute it again: less memory, a third more time. */
    checkpointLayers: z.boolean(),
  }),
  optimizer: z.strictObject({
    lr: z.number().positive(),
    schedule: z.enum(['cosine', 'linear', 'wsd', 'constant']),
    warmupSteps: z.number().int().nonnegative(),
    /** Learning rate at the end, as a share of the highest. */
    minLrRatio: share,
    /** Share of the steps that the `wsd` schedule decays in. */
    decayRatio: share,
    beta1: share,
    beta2: share,
    eps: z.number().positive(),
    weightDecay: z.number().nonnegative(),
    maxGradNorm: z.number().positive().nullable(),
  }),
  evaluation: z.strictObject({
    /** Steps between evaluations; null: only one at the end. */
    everySteps: every,
    /** Held-out rows that one on the way takes, and the one at the end; null: all. */
    rows: positive.nullable(),
    finalRows: positive.nullable(),
  }),
  sample: z.strictObject({
    everySteps: every,
    prompt: z.string(),
    maxTokens: positive,
    temperature: z.number().nonnegative(),
  }),
  checkpoint: z.strictObject({ everySteps: every, keep: positive }),
});

export type PretrainConfig = z.infer<typeof pretrainSchema>;

/** The model of a run, checked: what is configured and the vocabulary of the tokenizer. */
export function modelConfig({ model, train }: PretrainConfig, vocabSize: number): LlamaConfig {
  if (train.seqLen > model.maxSeqLen) {
    throw new CapacityError(
      `train.seqLen (${train.seqLen}) is longer than the context of the model, model.maxSeqLen (${model.maxSeqLen}); raise that or shorten the rows`,
    );
  }
  return checkLlamaConfig({ ...model, vocabSize }, 'model');
}
