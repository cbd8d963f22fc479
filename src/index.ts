/**
 * What programs import from `cria`. Names here stay; everything else may change.
 */
export {
  choiceConstraint,
  grammarConstraint,
  jsonConstraint,
  jsonSchemaConstraint,
  prepareJson,
  regexConstraint,
  type JsonOptions,
} from './constrain/compile.ts';
export { toolConstraint, type ToolChoice, type ToolOptions, type ToolSignature } from './constrain/tool-constraint.ts';
export { ConstraintVocabulary } from './constrain/vocabulary.ts';
export { openTokenizer } from './formats/open-tokenizer.ts';
export { openTokenizerPool, type TokenizerPool } from './formats/tokenizer-pool.ts';
export { type Drafter } from './infer/speculation.ts';
export { Engine, type EngineOptions } from './infer/engine.ts';
export { type EngineStats, type StepReport } from './infer/engine-stats.ts';
export { Generation, type GeneratedToken, type GenerationResult, type Timings } from './infer/generation.ts';
export { loadEngine, type LoadedEngine, type LoadEngineOptions } from './infer/load-engine.ts';
export { NgramDrafter } from './infer/ngram-drafter.ts';
export { type GenerationRequest } from './infer/request.ts';
export { DEFAULT_SAMPLING, type SamplingParams } from './infer/sampling-params.ts';
export { type FinishReason } from './infer/sequence.ts';
export { type ConstraintState, type TokenConstraint } from './infer/token-constraint.ts';
export { type TokenLogprob, type TokenLogprobs } from './infer/token-logprobs.ts';
export { type ChatFormat, type ChatMessage } from './tokenizer/chat-message.ts';
export { ToolCallStream, type ReplyEvent, type ToolCallStreamOptions } from './tokenizer/tool-call-stream.ts';
export { Tokenizer } from './tokenizer/tokenizer.ts';
export { CapacityError, ConfigError, ConstraintError, CriaError, FormatError } from './util/errors.ts';
