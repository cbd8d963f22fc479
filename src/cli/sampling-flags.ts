/**
 * The flags that say how tokens are drawn, for all commands that generate.
 */
import { randomInt } from 'node:crypto';
import type { Command } from 'commander';
import { checkSampling, DEFAULT_SAMPLING, type SamplingParams } from '../infer/sampling-params.ts';
import { decimalNumber, wholeNumber } from './open-model.ts';

export interface SamplingFlags {
  readonly temperature?: string;
  readonly topP?: string;
  readonly topK?: string;
  readonly minP?: string;
  readonly typicalP?: string;
  readonly repetitionPenalty?: string;
  readonly presencePenalty?: string;
  readonly frequencyPenalty?: string;
  readonly seed?: string;
}

/** Adds a flag for each of the sampling parameters, and --seed. */
export function addSamplingFlags(command: Command): Command {
  return command
    .option('--temperature <x>', 'randomness: 0 always takes the most likely token (default: 0.6)')
    .option('--top-p <x>', 'only the most likely tokens that make up this share of the probability (default: 0.9)')
    .option('--top-k <n>', 'only the n most likely tokens')
    .option('--min-p <x>', 'only tokens at least so many times as likely as the most likely one')
    .option('--typical-p <x>', 'only the tokens of the most typical surprise that make up this share')
    .option('--repetition-penalty <x>', 'above 1: tokens of prompt and reply become less likely')
    .option('--presence-penalty <x>', 'taken from the logit of each token that the reply has')
    .option('--frequency-penalty <x>', 'taken from it for each time that the reply has it')
    .option('--seed <n>', 'the same seed gives the same text');
}

const DECIMALS = [
  ['temperature', '--temperature'],
  ['topP', '--top-p'],
  ['minP', '--min-p'],
  ['typicalP', '--typical-p'],
  ['repetitionPenalty', '--repetition-penalty'],
  ['presencePenalty', '--presence-penalty'],
  ['frequencyPenalty', '--frequency-penalty'],
] as const;

/** The flags' values; what is not given is left out. Throws UsageError or ConfigError for impossible ones. */
export function samplingOf(flags: SamplingFlags): Partial<SamplingParams> {
  const decimals = DECIMALS.flatMap(([name, flag]) => {
    const value = flags[name];
    return value === undefined ? [] : [[name, decimalNumber(flag, value)]];
  });
  const topK = flags.topK === undefined ? {} : { topK: wholeNumber('--top-k', flags.topK, 1) };
  const sampling = { ...(Object.fromEntries(decimals) as Partial<SamplingParams>), ...topK };
  checkSampling({ ...DEFAULT_SAMPLING, ...sampling });
  return sampling;
}

/** The seed given, or a random one. */
export function seedOf(flags: SamplingFlags): number {
  return flags.seed === undefined ? randomInt(2 ** 32) : wholeNumber('--seed', flags.seed, 0);
}
