/**
 * The models a server may answer with: those named when it was started, `nano` once it is trained, and those in the hub's cache.
 * A request can only name one of these, never a path.
 */
import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Checkpoint } from '../formats/checkpoint.ts';
import type { EngineOptions } from '../infer/engine.ts';
import type { ModelCatalog, ModelDetails, ModelEntry, ServedModel } from '../server/served-model.ts';
import { numValues } from '../tensor/dtype.ts';
import { FormatError, RequestError } from '../util/errors.ts';
import { runInSlices } from '../util/slices.ts';
import type { CommandIo } from './io.ts';
import { checkpointPath, type ModelFlags, openModel, stopIdsOf } from './open-model.ts';

export interface LoadOptions {
  readonly flags: ModelFlags;
  /** Sequences of full context that the KV cache holds at once. */
  readonly parallel: number;
  readonly engine: EngineOptions & { readonly maxNumSequences: number };
}

/** Longest context of a model unless --context says otherwise: its KV cache is taken when it is loaded. */
const DEFAULT_CONTEXT = 8192;

/** The catalog; `named` are the models of the command line. Throws FormatError for one that is not there. */
export async function installedModels(
  named: readonly string[],
  options: LoadOptions,
  io: CommandIo,
): Promise<ModelCatalog> {
  const fixed = await namedModels(named, io);
  const list = async () => {
    const found = [...[...fixed.values()].map(({ entry }) => entry), ...(await foundModels(io))];
    return [...new Map(found.toReversed().map((entry) => [entry.id, entry])).values()].toReversed();
  };
  return {
    list,
    find: async (id) => {
      const entry = fixed.get(id)?.entry ?? (await list()).find((one) => one.id === id);
      return entry !== undefined && (await isThere(entry.path)) ? entry : null;
    },
    details: rememberedDetails(),
    load: (entry, onProgress) => load(fixed.get(entry.id)?.name ?? entry.path, options, io, onProgress),
    pull: (id, onProgress) => pull(id, onProgress, io),
    isRemovable: ({ id }) => !fixed.has(id) && id !== 'nano',
    remove: async ({ id }) => {
      if (!(await removeFromHub(id, io)))
        throw new RequestError(404, `"${id}" is not in the cache of the hub any more`);
    },
  };
}

/** False once the files of a model were deleted. */
async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** The models of the command line, by the id that requests name them with, each with the name it was given there. */
async function namedModels(
  named: readonly string[],
  io: CommandIo,
): Promise<ReadonlyMap<string, { readonly entry: ModelEntry; readonly name: string }>> {
  const models = new Map<string, { entry: ModelEntry; name: string }>();
  for (const name of named) {
    const entry = await entryOf(modelId(name), await checkpointPath(name, io));
    if (models.has(entry.id)) throw new FormatError(`two models are both called "${entry.id}"; rename one`);
    models.set(entry.id, { entry, name });
  }
  return models;
}

/** Reads the details of each version of a model once; what failed is tried again. */
function rememberedDetails(): ModelCatalog['details'] {
  const known = new Map<string, Promise<ModelDetails>>();
  return (entry) => {
    const key = `${entry.id} ${entry.digest}`;
    const details = known.get(key) ?? readDetails(entry);
    known.set(key, details);
    details.catch(() => known.delete(key));
    return details;
  };
}

async function pull(id: string, onProgress: Parameters<ModelCatalog['pull']>[1], io: CommandIo): Promise<void> {
  const [{ pullModel }, { requireModelId }, { hubSettings }] = await Promise.all([
    import('../formats/hub.ts'),
    import('../formats/hub-id.ts'),
    import('../formats/hub-settings.ts'),
  ]);
  await pullModel(requireModelId(id), { settings: await hubSettings(io.env), onProgress });
}

/** False if the model is not in the hub's cache. */
async function removeFromHub(id: string, io: CommandIo): Promise<boolean> {
  const [{ removeDownloaded }, { hubSettings }] = await Promise.all([
    import('./remove-downloaded.ts'),
    import('../formats/hub-settings.ts'),
  ]);
  return removeDownloaded((await hubSettings(io.env)).cacheFolder, id, io.env);
}

/** How requests name a model: a file or folder by its last part without ending, others as they are. */
export function modelId(name: string): string {
  const isPath = name.startsWith('.') || name.startsWith('/') || name.endsWith('.gguf') || name.split('/').length > 2;
  return isPath ? basename(name).replace(/\.gguf$/, '') || 'model' : name;
}

/** nano and the hub's cache, as they are now. */
async function foundModels(io: CommandIo): Promise<ModelEntry[]> {
  const [{ listCachedModels }, { hubSettings }, { cachedModel }, { parseModelId }] = await Promise.all([
    import('../formats/hub-cache.ts'),
    import('../formats/hub-settings.ts'),
    import('../formats/hub.ts'),
    import('../formats/hub-id.ts'),
  ]);
  const settings = await hubSettings(io.env);
  const names = (await listCachedModels(settings.cacheFolder)).map(({ repo }) => repo);
  const paths = await Promise.all(
    names.map(async (name) => {
      const id = parseModelId(name);
      return [name, id === null ? null : ((await cachedModel(id, settings))?.path ?? null)] as const;
    }),
  );
  const nano = await checkpointPath('nano', io).catch(() => null);
  const there = [['nano', nano] as const, ...paths].filter((pair): pair is [string, string] => pair[1] !== null);
  const entries = await Promise.all(there.map(([id, path]) => entryOf(id, path).catch(() => null)));
  return entries.filter((entry) => entry !== null);
}

async function entryOf(id: string, path: string): Promise<ModelEntry> {
  const stats = await stat(path).catch((error: NodeJS.ErrnoException) => {
    const fault = error.code === 'ENOENT' ? 'does not exist' : `cannot be opened (${error.code})`;
    throw new FormatError(`${path}: ${fault}; give a model that is there`);
  });
  const sizeBytes = stats.isDirectory() ? await folderBytes(path) : stats.size;
  const digest = createHash('sha256').update(`${id}\0${path}\0${sizeBytes}\0${stats.mtimeMs}`).digest('hex');
  return { id, path, createdAt: stats.mtime, sizeBytes, digest };
}

async function folderBytes(folder: string): Promise<number> {
  const files = await readdir(folder, { withFileTypes: true });
  const sizes = await Promise.all(
    files.filter((entry) => !entry.isDirectory()).map(({ name }) => stat(join(folder, name)).then(({ size }) => size)),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function load(
  name: string,
  { flags, parallel, engine: limits }: LoadOptions,
  io: CommandIo,
  onProgress: (share: number) => void,
): Promise<ServedModel> {
  const [{ Engine }, { ModelRunner }, { stateBytes }, { touchCache }] = await Promise.all([
    import('../infer/engine.ts'),
    import('../infer/model-runner.ts'),
    import('../infer/model.ts'),
    import('../infer/touch-cache.ts'),
  ]);
  const opened = await openModel(name, flags, io);
  try {
    const tokenizer = await opened.loadTokenizer();
    const chatFormat = await opened.chatFormat(tokenizer);
    const model = await opened.load({ wantedContext: DEFAULT_CONTEXT, batch: parallel, onProgress });
    await touchCache(model);
    const runner = new ModelRunner(model);
    runInSlices(runner.preparation(limits.maxNumSequences)).catch(() => {}); // a step that has no plan makes it, or says why not
    const engine = new Engine(runner, tokenizer, limits);
    return {
      engine,
      model,
      tokenizer,
      chatFormat,
      filesPath: opened.checkpoint.path,
      stopIds: stopIdsOf(opened, tokenizer),
      maxNumSequences: limits.maxNumSequences,
      sizeBytes: stateBytes(model),
      dispose: () => engine.dispose(),
    };
  } finally {
    await opened.close();
  }
}

async function readDetails({ path }: ModelEntry): Promise<ModelDetails> {
  const [{ openCheckpoint }, { chatTemplateOf }] = await Promise.all([
    import('../formats/open-checkpoint.ts'),
    import('../formats/convert-tokenizer.ts'),
  ]);
  const checkpoint = await openCheckpoint(path);
  try {
    const { config, metadata, format } = checkpoint;
    const tensors = [...checkpoint.weights.tensors.values()];
    return {
      format,
      family: 'llama',
      numParameters: tensors.reduce((sum, { shape }) => sum + numValues(shape), 0),
      quantisation: mainType(checkpoint),
      contextLength: config.maxSeqLen,
      dim: config.dim,
      chatTemplate: await chatTemplateOf(checkpoint),
      metadata,
    };
  } finally {
    await checkpoint.close();
  }
}

/** The type that most values are stored in. */
function mainType({ weights }: Checkpoint): string {
  const counts = new Map<string, number>();
  for (const { dtype, shape } of weights.tensors.values())
    counts.set(dtype, (counts.get(dtype) ?? 0) + numValues(shape));
  return [...counts].toSorted(([, a], [, b]) => b - a)[0]?.[0] ?? '';
}
