/**
 * What a caller asks of the engine, with its checks and defaults.
 */
import { CapacityError, ConfigError } from '../util/errors.ts';
import type { TokenConstraint } from './token-constraint.ts';
import { MAX_TOP_LOGPROBS } from './token-logprobs.ts';
import { checkSampling, DEFAULT_SAMPLING, type SamplingParams } from './sampling-params.ts';

export interface GenerationRequest {
  readonly promptIds: ArrayLike<number>;
  /** Most tokens of the reply; null: until something stops it or the context is full. */
  readonly maxTokens?: number | null;
  readonly sampling?: Partial<SamplingParams>;
  /** Seed of the random numbers of this request: the same seed gives the same reply, whatever runs beside it. */
  readonly seed?: number;
  /** Tokens that end the reply; by default the tokenizer's. */
  readonly stopIds?: readonly number[];
  /** Texts that end the reply. */
  readonly stopStrings?: readonly string[];
  /** Stop tokens are not drawn before the reply has so many tokens; stop strings still end it. */
  readonly minTokens?: number;
  /** Stop tokens are ordinary tokens; only `maxTokens`, stop strings and the context end the reply. */
  readonly ignoreEos?: boolean;
  /** Per token of the reply its log-probability and those of so many most likely tokens, 0 to 20; null or not given: none. */
  readonly logprobs?: number | null;
  /** The same for the tokens of the prompt, which is then computed anew even if it is cached. */
  readonly promptLogprobs?: number | null;
  /** Added to the logits of these tokens; -Infinity forbids one. */
  readonly logitBias?: ReadonlyMap<number, number>;
  /** Only tokens that it allows are drawn. */
  readonly constraint?: TokenConstraint | null;
  /** Name of a LoRA adapter to answer with; null: the model itself. */
  readonly adapter?: string | null;
  /** Cancels the request; iteration and result then throw its reason. */
  readonly signal?: AbortSignal;
}

/** What the checks need to know of the model. */
export interface RequestLimits {
  readonly vocabSize: number;
  readonly contextLength: number;
}

/** A request with every default filled in. */
export interface CheckedRequest {
  readonly promptIds: ArrayLike<number>;
  /** Most tokens of prompt and reply together. */
  readonly maxLength: number;
  readonly sampling: SamplingParams;
  readonly seed: number;
  readonly stopIds: ReadonlySet<number>;
  readonly stopStrings: readonly string[];
  readonly minTokens: number;
  readonly logprobs: number | null;
  readonly promptLogprobs: number | null;
  readonly logitBias: ReadonlyMap<number, number>;
  readonly constraint: TokenConstraint | null;
}

/** Fills in defaults; throws ConfigError or CapacityError saying what is wrong. */
export function checkRequest(
  request: GenerationRequest,
  limits: RequestLimits,
  stopIds: readonly number[],
): CheckedRequest {
  const { promptIds, maxTokens = null, minTokens = 0, adapter = null, logitBias = new Map() } = request;
  checkIds(promptIds, limits.vocabSize);
  if (maxTokens !== null && !(Number.isInteger(maxTokens) && maxTokens >= 1)) {
    throw new ConfigError(`the number of tokens to generate must be a whole number from 1, got ${maxTokens}`);
  }
  if (!(Number.isInteger(minTokens) && minTokens >= 0)) {
    throw new ConfigError(`the least number of tokens must be a whole number from 0, got ${minTokens}`);
  }
  if (adapter !== null) throw new ConfigError(`there is no adapter "${adapter}"; this model was loaded without any`);
  checkBias(logitBias, limits.vocabSize);
  return {
    promptIds,
    maxLength: maxLengthOf(promptIds.length, maxTokens, limits.contextLength),
    sampling: checkSampling({ ...DEFAULT_SAMPLING, ...request.sampling }),
    seed: request.seed ?? 0,
    stopIds: new Set(request.ignoreEos ? [] : (request.stopIds ?? stopIds)),
    stopStrings: request.stopStrings ?? [],
    minTokens,
    logprobs: checkLogprobs(request.logprobs ?? null),
    promptLogprobs: checkLogprobs(request.promptLogprobs ?? null),
    logitBias,
    constraint: request.constraint ?? null,
  };
}

function checkLogprobs(count: number | null): number | null {
  if (count === null || (Number.isInteger(count) && count >= 0 && count <= MAX_TOP_LOGPROBS)) return count;
  throw new ConfigError(`log-probabilities can be asked for 0 to ${MAX_TOP_LOGPROBS} tokens, got ${count}`);
}

function checkBias(logitBias: ReadonlyMap<number, number>, vocabSize: number): void {
  for (const [id, bias] of logitBias) {
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
      throw new ConfigError(`logit bias names token ${id}, the model knows the ids 0 to ${vocabSize - 1}`);
    }
    if (Number.isNaN(bias) || bias === Infinity)
      throw new ConfigError(`the logit bias of token ${id} must be a number`);
  }
}

/** Throws ConfigError unless there is at least one token and the model knows them all. */
export function checkIds(ids: ArrayLike<number>, vocabSize: number): void {
  if (ids.length === 0) throw new ConfigError('the prompt is empty; give at least one token');
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
      throw new ConfigError(`prompt token ${i} is ${id}, the model knows the ids 0 to ${vocabSize - 1}`);
    }
  }
}

/** Throws CapacityError unless `numTokens` tokens fit in a context. */
export function checkContextFits(numTokens: number, contextLength: number): void {
  if (numTokens <= contextLength) return;
  throw new CapacityError(
    `${numTokens} tokens do not fit in the context of ${contextLength}; give fewer, or use a longer context`,
  );
}

function maxLengthOf(promptLength: number, maxTokens: number | null, contextLength: number): number {
  const wanted = promptLength + (maxTokens ?? 1);
  if (wanted > contextLength) {
    const reply = maxTokens === null ? 'leaves no room for a reply' : `and ${maxTokens} tokens to generate do not fit`;
    throw new CapacityError(
      `the prompt of ${promptLength} tokens ${reply} in the context of ${contextLength}; shorten the prompt or use a longer context`,
    );
  }
  return maxTokens === null ? contextLength : wanted;
}
