/**
 * The models of the server: which there are, which one is chosen, and what is known of each.
 */
import { computed, signal } from '@preact/signals';
import { readStored, writeStored } from '../stored.ts';
import { messageOf, requestJson } from './http.ts';

/** What /inside/model says of one. */
export interface ModelInfo {
  readonly is_chat: boolean;
  readonly context_length: number;
  readonly config: ModelConfig;
  readonly weight_type: string;
  readonly kv_type: string;
  readonly kv_bytes_per_token: number;
  readonly vocab_size: number;
  readonly special_tokens: readonly { readonly id: number; readonly text: string }[];
  readonly adds_bos: boolean;
}

/** The sizes of a model, see src/model/config.ts. */
export interface ModelConfig {
  readonly dim: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly ffnDim: number;
  readonly vocabSize: number;
  readonly maxSeqLen: number;
  readonly ropeTheta: number;
  readonly tiedEmbeddings: boolean;
}

const KEY = 'cria.model';

/** Names of all models; null until they are known. */
export const modelNames = signal<readonly string[] | null>(null);

/** Why they are not known; null if nothing is wrong. */
export const modelsError = signal<string | null>(null);

const wanted = signal(readStored(KEY));

/** The model that is chosen; null while there is none. */
export const chosenModel = computed(() => {
  const names = modelNames.value;
  if (names === null) return null;
  return wanted.value !== null && names.includes(wanted.value) ? wanted.value : (names[0] ?? null);
});

/** Chooses a model, also for the next visit. */
export function chooseModel(name: string): void {
  wanted.value = name;
  writeStored(KEY, name);
}

/** Asks the server which models there are. */
export async function refreshModels(): Promise<void> {
  try {
    const { data } = await requestJson<{ data: { id: string }[] }>('/v1/models');
    modelNames.value = data.map(({ id }) => id);
    modelsError.value = null;
  } catch (error) {
    modelsError.value = messageOf(error);
  }
}

const infos = new Map<string, Promise<ModelInfo>>();

/** What is known of a model; asking loads it. Asked once, unless it fails. */
export function modelInfo(name: string): Promise<ModelInfo> {
  let info = infos.get(name);
  if (!info) {
    info = requestJson<ModelInfo>(`/inside/model?model=${encodeURIComponent(name)}`);
    infos.set(name, info);
    info.catch(() => infos.delete(name));
  }
  return info;
}

void refreshModels();
