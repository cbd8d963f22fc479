/**
 * From the files of a configuration to a tokenizer and batches, all kept in the run folder and found there again.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openCorpus } from '../data/corpus.ts';
import {
  trainingBatches,
  type TrainingBatches,
  validationBatches,
  type ValidationBatches,
} from '../data/token-batches.ts';
import { openSplit, prepareTokens, type TokenManifest } from '../data/token-set.ts';
import { loadTokenizerFolder, saveTokenizerFolder } from '../formats/tokenizer-files.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { trainBpe } from '../tokenizer/train-bpe.ts';
import { writeFolderAtomic } from '../util/atomic-folder.ts';
import type { PretrainConfig } from './pretrain-config.ts';
import type { RunFolder } from './run-folder.ts';

export interface PretrainData {
  readonly tokenizer: Tokenizer;
  readonly manifest: TokenManifest;
  readonly training: TrainingBatches;
  /** Null where nothing is held out. */
  readonly validation: ValidationBatches | null;
}

/** Called when a longer piece of work begins. */
export type OnPhase = (what: string) => void;

/** Prepares what a run reads, or finds it prepared. */
export async function preparePretrainData(
  config: PretrainConfig,
  run: Pick<RunFolder, 'tokenizer' | 'data'>,
  onPhase: OnPhase,
): Promise<PretrainData> {
  const paths = config.data.files.map(resolveDataFile);
  const { validationFraction } = config.data;
  const tokenizer = await findTokenizer(config, paths, run.tokenizer, onPhase);
  onPhase('preparing tokens');
  const manifest = await prepareTokens({ paths, validationFraction, tokenizer, folder: run.data });
  const { seqLen, rowsPerStep, rowsPerMicroStep } = config.train;
  const layout = { seqLen, rowsPerStep, rowsPerMicroStep, bosId: tokenizer.bosId!, seed: config.seed };
  const { train, validation } = manifest.splits;
  const training = trainingBatches(openSplit(run.data, manifest, 'train'), train, layout);
  if (validation.numTokens < 2) return { tokenizer, manifest, training, validation: null };
  const heldOut = openSplit(run.data, manifest, 'validation');
  return { tokenizer, manifest, training, validation: validationBatches(heldOut, validation, layout) };
}

const SHIPPED = 'cria:';

/** The path of a data file; `cria:` stands for the folder of data that ships with cria. */
function resolveDataFile(file: string): string {
  if (!file.startsWith(SHIPPED)) return file;
  return join(new URL('../../data/', import.meta.url).pathname, file.slice(SHIPPED.length));
}

async function findTokenizer(
  { tokenizer: { folder, vocabSize }, data }: PretrainConfig,
  paths: readonly string[],
  saved: string,
  onPhase: OnPhase,
): Promise<Tokenizer> {
  if (existsSync(saved)) return loadTokenizerFolder(saved);
  let tokenizer: Tokenizer;
  if (folder === null) {
    onPhase(`training a tokenizer of ${vocabSize} tokens`);
    tokenizer = trainBpe(openCorpus(paths, data.validationFraction).trainingTexts(), { vocabSize });
  } else {
    tokenizer = await loadTokenizerFolder(folder);
  }
  await writeFolderAtomic(saved, (partial) => saveTokenizerFolder(partial, tokenizer));
  return tokenizer;
}
