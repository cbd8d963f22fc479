/**
 * What the model under training writes, now and then, on the trainer's own weights. A pure function of weights and configuration.
 */
import { Engine } from '../infer/engine.ts';
import { trainedModel } from '../infer/model.ts';
import { ModelRunner } from '../infer/model-runner.ts';
import type { LlamaConfig } from '../model/config.ts';
import type { Backend } from '../runtime/backend.ts';
import type { StateStore } from '../runtime/compile.ts';
import type { Precision } from '../tensor/operators.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

export interface TextSamplerOptions {
  readonly config: LlamaConfig;
  readonly backend: Backend;
  /** The trainer's states. */
  readonly states: StateStore;
  readonly precision: Precision;
  readonly tokenizer: Tokenizer;
  readonly prompt: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed: number;
}

/** A function that gives the prompt as the model continues it now. Close it to give memory back. */
export function textSampler(options: TextSamplerOptions): { sample(): Promise<string>; close(): Promise<void> } {
  const { config, backend, states, precision, tokenizer, prompt, temperature, seed } = options;
  const promptIds = tokenizer.encode(prompt, { bos: true });
  const contextLength = Math.min(config.maxSeqLen, promptIds.length + options.maxTokens);
  const sizes = { precision, kvType: precision, contextLength, batch: 1 };
  const engine = new Engine(new ModelRunner(trainedModel(config, backend, states, sizes)), tokenizer, {
    prefixCache: false, // the weights change between samples
  });
  const maxTokens = Math.max(1, contextLength - promptIds.length);
  return {
    async sample() {
      const request = { promptIds, maxTokens, sampling: { temperature, topP: 1 }, seed };
      return prompt + (await engine.generate(request).result).text;
    },
    close: () => engine.dispose(),
  };
}
