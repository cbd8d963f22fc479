/**
 * The models on the server's machine, by Ollama's routes: list, inspect, get, delete.
 */
import { signal } from '@preact/signals';
import { ApiError, linesOf, messageOf, request, requestJson } from '../api/http.ts';
import { refreshModels } from '../api/models.ts';

export interface InstalledModel {
  readonly name: string;
  readonly size: number;
  readonly modified_at: string;
  readonly details?: {
    readonly format?: string;
    readonly family?: string;
    readonly parameter_size?: string;
    readonly quantization_level?: string;
  };
}

/** What /api/show says; only what the page shows. */
export interface ModelCard {
  readonly template?: string;
  readonly parameters?: string;
  readonly model_info?: Readonly<Record<string, unknown>>;
}

/** All that are there; null until known. */
export const installed = signal<readonly InstalledModel[] | null>(null);

/** Names of those in memory. */
export const inMemory = signal<ReadonlySet<string>>(new Set());

export const listError = signal<string | null>(null);

export async function refreshInstalled(): Promise<void> {
  try {
    const [tags, running] = await Promise.all([
      requestJson<{ models: InstalledModel[] }>('/api/tags'),
      requestJson<{ models: { name: string }[] }>('/api/ps'),
    ]);
    installed.value = tags.models;
    inMemory.value = new Set(running.models.map(({ name }) => name));
    listError.value = null;
  } catch (error) {
    listError.value = messageOf(error);
  }
}

export function modelCard(name: string, aborted?: AbortSignal): Promise<ModelCard> {
  return requestJson('/api/show', { body: { model: name }, ...(aborted && { signal: aborted }) });
}

export async function deleteModel(name: string): Promise<void> {
  await request('/api/delete', { method: 'DELETE', body: { model: name } });
  await Promise.all([refreshInstalled(), refreshModels()]);
}

/** A download under way. */
export interface Pull {
  readonly name: string;
  readonly status: string;
  /** Share that is done; null where the size is not known yet. */
  readonly share: number | null;
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly error: string | null;
  readonly isOver: boolean;
}

/** The newest download; null before the first. */
export const pull = signal<Pull | null>(null);

let stopPulling: AbortController | null = null;

/** Gets a model from the hub that the server knows. */
export async function pullModel(name: string): Promise<void> {
  stopPulling = new AbortController();
  const parts = new Map<string, { total: number; completed: number }>();
  pull.value = { name, status: 'asking', share: null, doneBytes: 0, totalBytes: 0, error: null, isOver: false };
  try {
    const response = await request('/api/pull', { body: { model: name, stream: true }, signal: stopPulling.signal });
    for await (const line of linesOf(response)) if (line.trim() !== '') takeProgress(line, parts);
    pull.value = { ...pull.value, share: 1, isOver: true };
    await Promise.all([refreshInstalled(), refreshModels()]);
  } catch (error) {
    const why = stopPulling.signal.aborted
      ? 'Stopped; what was downloaded is kept for the next try.'
      : messageOf(error);
    pull.value = { ...pull.value, error: why, isOver: true };
  }
}

export function stopPull(): void {
  stopPulling?.abort();
}

interface Progress {
  readonly status?: string;
  readonly error?: string;
  readonly digest?: string;
  readonly total?: number;
  readonly completed?: number;
}

/** Each line tells of one file; the page shows all together. */
function takeProgress(line: string, parts: Map<string, { total: number; completed: number }>): void {
  const { status = '', error, digest, total, completed } = JSON.parse(line) as Progress;
  if (error !== undefined) throw new ApiError(200, error, null);
  if (total !== undefined) parts.set(digest ?? status, { total, completed: completed ?? 0 });
  const sums = [...parts.values()].reduce(
    (sum, part) => ({ total: sum.total + part.total, completed: sum.completed + part.completed }),
    { total: 0, completed: 0 },
  );
  const share = sums.total > 0 ? sums.completed / sums.total : null;
  pull.value = { ...pull.value!, status, share, doneBytes: sums.completed, totalBytes: sums.total };
}
