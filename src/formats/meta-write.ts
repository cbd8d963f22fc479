/**
 * Writing Meta's layout (params.json and one consolidated.00.pth) and our own (params.json and model.safetensors).
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { llamaWeightShapes, type LlamaConfig } from '../model/config.ts';
import { writeFolderAtomic } from '../util/atomic-folder.ts';
import { CRIA_WEIGHTS_FILE, META_PARAMS_FILE } from './meta-folder.ts';
import { criaParamsJson, metaParamsJson } from './meta-params.ts';
import { writeSafetensors, type TensorToWrite } from './safetensors-write.ts';
import type { PlainDType } from './stored-dtype.ts';
import { streamTensor } from './stream-tensor.ts';
import type { TensorSource } from './tensor-source.ts';
import { writeTorchFile } from './torch-write.ts';

export interface MetaWriteOptions {
  /** Type of each weight by name. */
  readonly dtypeOf: (name: string) => PlainDType;
  /** Puts further files (tokenizer) into the folder before it becomes visible. */
  readonly addFiles?: (folder: string) => Promise<void>;
}

interface ModelToWrite {
  readonly config: LlamaConfig;
  readonly weights: TensorSource;
}

/** Creates folder `path` in Meta's layout, loadable by Meta's code; `path` must be absent or empty. All or nothing. */
export async function writeMetaFolder(path: string, model: ModelToWrite, options: MetaWriteOptions): Promise<void> {
  const params = metaParamsJson(model.config, path);
  // Meta's code has an output matrix of its own in every model.
  const aliases = model.config.tiedEmbeddings ? [{ name: 'output.weight', aliasOf: 'tok_embeddings.weight' }] : [];
  await writeFolderAtomic(path, async (folder) => {
    const tensors = tensorsToWrite(model, options);
    await writeTorchFile(join(folder, 'consolidated.00.pth'), tensors, aliases, 'consolidated.00');
    await writeFile(join(folder, META_PARAMS_FILE), `${JSON.stringify(params)}\n`);
    await options.addFiles?.(folder);
  });
}

/** Creates folder `path` in our own layout; `path` must be absent or empty. All or nothing. */
export async function writeCriaFolder(path: string, model: ModelToWrite, options: MetaWriteOptions): Promise<void> {
  await writeFolderAtomic(path, async (folder) => {
    await writeSafetensors(join(folder, CRIA_WEIGHTS_FILE), tensorsToWrite(model, options));
    await writeFile(join(folder, META_PARAMS_FILE), `${JSON.stringify(criaParamsJson(model.config), null, 2)}\n`);
    await options.addFiles?.(folder);
  });
}

function tensorsToWrite({ config, weights }: ModelToWrite, { dtypeOf }: MetaWriteOptions): TensorToWrite[] {
  return [...llamaWeightShapes(config)].map(([name, shape]) => {
    const dtype = dtypeOf(name);
    return { name, dtype, shape, chunks: () => streamTensor(weights, name, dtype) };
  });
}
