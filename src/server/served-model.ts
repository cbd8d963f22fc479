/**
 * A loaded model as the server uses it, and where models come from: the seams to whoever finds and loads them. Nothing here knows files.
 */
import type { Engine } from '../infer/engine.ts';
import type { InferenceModel } from '../infer/model.ts';
import type { ChatFormat } from '../tokenizer/chat-message.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

/** Ready to answer. */
export interface ServedModel {
  readonly engine: Engine;
  readonly model: InferenceModel;
  readonly tokenizer: Tokenizer;
  /** Null for a model that was not trained on conversations: it continues text. */
  readonly chatFormat: ChatFormat | null;
  /** Where another thread can open its tokenizer and chat format; null: nowhere, so texts are read on this one. */
  readonly filesPath: string | null;
  readonly stopIds: readonly number[];
  /** Sequences that run at once; more wait. */
  readonly maxNumSequences: number;
  /** Bytes of weights and KV cache. */
  readonly sizeBytes: number;
  dispose(): Promise<void>;
}

/** A model that is installed, loaded or not. */
export interface ModelEntry {
  readonly id: string;
  readonly path: string;
  readonly createdAt: Date;
  readonly sizeBytes: number;
  /** Tells two versions of a model apart. */
  readonly digest: string;
}

/** What can be said of a model without loading its weights. */
export interface ModelDetails {
  readonly format: string;
  readonly family: string;
  readonly numParameters: number;
  readonly quantisation: string;
  readonly contextLength: number;
  readonly dim: number;
  readonly chatTemplate: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface PullProgress {
  readonly file: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** Finds, downloads and loads models. */
export interface ModelCatalog {
  list(): Promise<ModelEntry[]>;
  /** The entry of this very id; null if there is none. */
  find(id: string): Promise<ModelEntry | null>;
  details(entry: ModelEntry): Promise<ModelDetails>;
  load(entry: ModelEntry, onProgress: (share: number) => void): Promise<ServedModel>;
  pull(id: string, onProgress: (progress: PullProgress) => void): Promise<void>;
  /** Whether its files may be deleted: they were downloaded, and the server was not started with them. */
  isRemovable(entry: ModelEntry): boolean;
  /** Deletes the files of a model that is removable. */
  remove(entry: ModelEntry): Promise<void>;
}
