/**
 * Ollama's routes about models: which there are, which are loaded, downloading, deleting.
 */
import type { z } from 'zod';
import { ApiError, modelNotFound } from './api-error.ts';
import type { LoadedModel } from './model-registry.ts';
import { Newest } from './newest.ts';
import type { pullSchema, showSchema } from './ollama-schema.ts';
import type { Call } from './route.ts';
import type { ModelCatalog, ModelDetails, ModelEntry, PullProgress } from './served-model.ts';
import { ndjsonResponse } from './streamed-response.ts';

/** Body of /api/tags. */
export async function installedModels({ context: { registry } }: Call): Promise<object> {
  const { catalog } = registry;
  const entries = await catalog.list();
  return { models: await Promise.all(entries.map((entry) => installedObject(catalog, entry))) };
}

async function installedObject(catalog: ModelCatalog, entry: ModelEntry): Promise<object> {
  return { ...entryObject(entry), details: await detailsObject(catalog, entry) };
}

/** Body of /api/ps. */
export async function loadedModels({ context: { registry } }: Call): Promise<object> {
  return { models: await Promise.all(registry.loaded().map((loaded) => loadedObject(registry.catalog, loaded))) };
}

const NEVER = new Date('9999-12-31T00:00:00Z');

async function loadedObject(catalog: ModelCatalog, { entry, model, expiresAt }: LoadedModel): Promise<object> {
  return {
    ...entryObject(entry),
    size: model.sizeBytes,
    details: await detailsObject(catalog, entry),
    expires_at: (expiresAt ?? NEVER).toISOString(),
    size_vram: 0,
    context_length: model.model.contextLength,
  };
}

function entryObject({ id, createdAt, sizeBytes, digest }: ModelEntry): object {
  return { name: id, model: id, modified_at: createdAt.toISOString(), size: sizeBytes, digest };
}

async function detailsObject(catalog: ModelCatalog, entry: ModelEntry): Promise<object> {
  // A damaged file must not hide the others.
  const details = await catalog.details(entry).catch(() => null);
  return details === null ? EMPTY_DETAILS : renderDetails(details);
}

const EMPTY_DETAILS = {
  parent_model: '',
  format: 'unknown',
  family: '',
  families: null,
  parameter_size: '',
  quantization_level: '',
};

function renderDetails({ format, family, numParameters, quantisation }: ModelDetails): object {
  return {
    parent_model: '',
    format,
    family,
    families: [family],
    parameter_size: renderCount(numParameters),
    quantization_level: quantisation,
  };
}

function renderCount(count: number): string {
  return count >= 1e9
    ? `${(count / 1e9).toFixed(1)}B`
    : count >= 1e6
      ? `${(count / 1e6).toFixed(0)}M`
      : `${(count / 1e3).toFixed(0)}K`;
}

/** Body of /api/show. */
export async function showModel({ context: { registry } }: Call, body: z.output<typeof showSchema>): Promise<object> {
  const entry = await registry.find(nameOf(body));
  const details = await registry.catalog.details(entry);
  const { family, numParameters, contextLength, dim, chatTemplate, metadata } = details;
  return {
    modelfile: `FROM ${entry.id}\n`,
    parameters: '',
    template: chatTemplate ?? '',
    details: renderDetails(details),
    model_info: {
      'general.architecture': family,
      'general.parameter_count': numParameters,
      [`${family}.context_length`]: contextLength,
      [`${family}.embedding_length`]: dim,
      ...scalarsOf(metadata),
    },
    capabilities: ['completion', 'embedding', ...(chatTemplate === null ? [] : ['tools'])],
    modified_at: entry.createdAt.toISOString(),
  };
}

function scalarsOf(metadata: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(metadata)
      .filter(([, value]) => value === null || typeof value !== 'object')
      // Integers of GGUF beyond 2^53: JSON is not written of bigints.
      .map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value]),
  );
}

/** Answer of /api/pull: progress line by line, or the end alone. */
export async function pullModel(call: Call, body: z.output<typeof pullSchema>): Promise<Response> {
  const { context, scope } = call;
  const name = nameOf(body);
  if (body.stream ?? true) return ndjsonResponse(context, scope, pullLines(call, name));
  await context.registry.catalog.pull(name, () => {});
  return Response.json({ status: 'success' });
}

/** The download goes on if its client leaves: what is there already is worth keeping. */
async function* pullLines({ context: { registry } }: Call, name: string): AsyncGenerator<object> {
  yield { status: 'pulling manifest' };
  const news = new Newest<PullProgress>();
  const done = registry.catalog.pull(name, (progress) => news.set(progress)).finally(() => news.close());
  done.catch(() => {}); // thrown below
  for await (const { file, doneBytes, totalBytes } of news) {
    yield { status: `pulling ${file}`, digest: file, total: totalBytes, completed: doneBytes };
  }
  await done;
  yield { status: 'success' };
}

/** Deletes a model's files; it must not be in use. */
export async function deleteModel(
  { context: { registry } }: Call,
  body: { model?: string | undefined; name?: string | undefined },
): Promise<void> {
  const entry = await registry.find(nameOf(body));
  if (!registry.catalog.isRemovable(entry)) {
    throw new ApiError(
      403,
      `"${entry.id}" is what the server was started with or was not downloaded from the hub, so it is not deleted here; delete its files yourself`,
    );
  }
  const isLoaded = registry.loaded().some((loaded) => loaded.entry.id === entry.id);
  if (isLoaded && !(await registry.unload(entry.id))) {
    throw new ApiError(409, `the model "${entry.id}" is answering requests; try again when it is not`);
  }
  await registry.catalog.remove(entry);
}

function nameOf({ model, name }: { model?: string | undefined; name?: string | undefined }): string {
  const given = model ?? name;
  if (given === undefined || given === '') throw modelNotFound('');
  return given;
}
