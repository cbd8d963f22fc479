/**
 * What every checkpoint becomes once opened, whatever its format: a LlamaConfig and weights under Meta's names.
 */
import type { LlamaConfig } from '../model/config.ts';
import type { TokenIds } from './hf-config.ts';
import type { TensorSource } from './tensor-source.ts';

export type CheckpointFormat = 'hf' | 'meta' | 'gguf' | 'cria';

export interface Checkpoint {
  readonly path: string;
  readonly format: CheckpointFormat;
  readonly config: LlamaConfig;
  /** Exactly the weights `llamaWeightShapes(config)` names, wq and wk in Meta's interleaved rotary order. */
  readonly weights: TensorSource;
  readonly tokenIds: TokenIds;
  /** The format's own description, as parsed: config.json, params.json, or GGUF metadata. */
  readonly metadata: Readonly<Record<string, unknown>>;
  close(): Promise<void>;
}
