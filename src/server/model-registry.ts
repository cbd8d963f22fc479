/**
 * Which models are in memory: loads one when it is first asked for, keeps it while it is used, and lets it go when nobody has used it for
 * a while or another needs the room.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { CapacityError } from '../util/errors.ts';
import { Admission } from './admission.ts';
import { ApiError, modelNotFound } from './api-error.ts';
import { prepareConstraints } from './constraint-vocabulary.ts';
import type { ModelCatalog, ModelEntry, ServedModel } from './served-model.ts';

export interface RegistryOptions {
  /** A model that nobody used for so long is unloaded; null keeps it. */
  readonly keepAliveMs: number | null;
  /** Ids that stay loaded whatever happens. */
  readonly pinned: readonly string[];
  /** Replies that may wait for each model beyond those that run. */
  readonly maxWaiting: number;
  /** Told what is loaded and unloaded. */
  readonly onEvent: (event: 'loading' | 'loaded' | 'unloaded' | 'failed', id: string, detail: object) => void;
}

/** A model in use: it stays in memory until every lease is released. */
export interface Lease {
  readonly entry: ModelEntry;
  readonly model: ServedModel;
  readonly admission: Admission;
  /** How long this request waited for the model to load; 0 if it was there. */
  readonly loadMs: number;
  release(): void;
}

export interface AcquireOptions {
  /** How long to wait for a model that is loading before a 503 says when to come back; null waits to the end. */
  readonly maxWaitMs: number | null;
  readonly signal: AbortSignal;
  /** From now on, unload after so long; undefined leaves it. */
  readonly keepAliveMs?: number | null;
}

interface Slot {
  readonly entry: ModelEntry;
  readonly startedAt: number;
  share: number;
  ready: { readonly model: ServedModel; readonly admission: Admission } | null;
  loading: Promise<void>;
  users: number;
  lastUsedAt: number;
  keepAliveMs: number | null;
  timer: NodeJS.Timeout | null;
}

/** What is in memory, for listings. */
export interface LoadedModel {
  readonly entry: ModelEntry;
  readonly model: ServedModel;
  readonly admission: Admission;
  /** When it will be unloaded if nobody uses it; null: not by itself. */
  readonly expiresAt: Date | null;
}

export class ModelRegistry {
  readonly catalog: ModelCatalog;
  readonly #options: RegistryOptions;
  readonly #slots = new Map<string, Slot>();
  #isClosed = false;

  constructor(catalog: ModelCatalog, options: RegistryOptions) {
    this.catalog = catalog;
    this.#options = options;
  }

  /** The model that is meant when a request names none: the first pinned one. */
  get defaultId(): string | null {
    return this.#options.pinned[0] ?? null;
  }

  /** Models in memory. */
  loaded(): LoadedModel[] {
    return [...this.#slots.values()].flatMap((slot) => {
      if (slot.ready === null) return [];
      const expiresAt = slot.keepAliveMs === null ? null : new Date(Date.now() + this.#remainingMs(slot));
      return [{ entry: slot.entry, ...slot.ready, expiresAt }];
    });
  }

  /** The 503 of the first pinned model that is still being loaded; null if all are there. */
  get pinnedLoading(): ApiError | null {
    const loading = this.#options.pinned.map((id) => this.#slots.get(id)).find((slot) => slot?.ready === null);
    return loading ? loadingError(loading) : null;
  }

  /** The entry of a name as clients write it; throws a 404 if there is none. Ollama's clients append `:latest`. */
  async find(name: string): Promise<ModelEntry> {
    const found = await this.#findOrNull(name);
    if (found === null) throw modelNotFound(name);
    return found;
  }

  /** A model to use, loaded if need be; throws a 503 with Retry-After while that takes longer than `maxWaitMs`. */
  async acquire(name: string, options: AcquireOptions): Promise<Lease> {
    if (this.#isClosed) throw new ApiError(503, 'the server is shutting down', { retryAfterSeconds: 5 });
    const entry = this.#slots.get(name)?.entry ?? (await this.find(name));
    const startedAt = performance.now();
    const slot = this.#slots.get(entry.id) ?? this.#load(entry);
    slot.users++; // from here on, so that it is not unloaded while we wait
    try {
      const wasReady = slot.ready !== null;
      if (!wasReady) await this.#wait(slot, options);
      options.signal.throwIfAborted();
      if (options.keepAliveMs !== undefined) slot.keepAliveMs = options.keepAliveMs;
      const loadMs = wasReady ? 0 : performance.now() - startedAt;
      return { entry, ...slot.ready!, loadMs, release: this.#releaseOnce(slot) };
    } catch (error) {
      this.#leave(slot);
      throw error;
    }
  }

  /** Unloads a model that is not in use; false if it is not loaded or in use. */
  async unload(id: string): Promise<boolean> {
    const slot = this.#slots.get(id);
    if (!slot || slot.ready === null || slot.users > 0) return false;
    this.#slots.delete(id);
    if (slot.timer) clearTimeout(slot.timer);
    await slot.ready.model.dispose();
    this.#options.onEvent('unloaded', id, {});
    return true;
  }

  /** Unloads everything; replies still running end with an error. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const [id, slot] of this.#slots) {
      await slot.loading.catch(() => {});
      if (slot.timer) clearTimeout(slot.timer);
      this.#slots.delete(id);
      await slot.ready?.model.dispose();
    }
  }

  async #findOrNull(name: string): Promise<ModelEntry | null> {
    const short = name.replace(/:latest$/, '');
    return (await this.catalog.find(name)) ?? (short === name ? null : await this.catalog.find(short));
  }

  #load(entry: ModelEntry): Slot {
    const { keepAliveMs, pinned } = this.#options;
    const slot: Slot = {
      entry,
      startedAt: performance.now(),
      share: 0,
      ready: null,
      loading: Promise.resolve(),
      users: 0,
      lastUsedAt: performance.now(),
      keepAliveMs: pinned.includes(entry.id) ? null : keepAliveMs,
      timer: null,
    };
    this.#slots.set(entry.id, slot);
    this.#options.onEvent('loading', entry.id, {});
    slot.loading = this.#fill(slot);
    slot.loading.catch(() => {}); // those who wait are told
    return slot;
  }

  async #fill(slot: Slot): Promise<void> {
    const { id } = slot.entry;
    try {
      const model = await this.#loadWithRoom(slot.entry, (share) => (slot.share = share));
      slot.ready = { model, admission: new Admission(model.maxNumSequences, this.#options.maxWaiting) };
      const seconds = (performance.now() - slot.startedAt) / 1000;
      this.#options.onEvent('loaded', id, { seconds: Number(seconds.toFixed(2)), bytes: model.sizeBytes });
      void prepareConstraints(model.tokenizer);
    } catch (error) {
      this.#slots.delete(id);
      this.#options.onEvent('failed', id, { err: error });
      // Its files may have been deleted since it was found.
      throw (await this.#findOrNull(id)) === null ? modelNotFound(id) : error;
    }
  }

  /** Loads, letting go of idle models as long as memory does not suffice. */
  async #loadWithRoom(entry: ModelEntry, onProgress: (share: number) => void): Promise<ServedModel> {
    for (;;) {
      try {
        return await this.catalog.load(entry, onProgress);
      } catch (error) {
        if (!(error instanceof CapacityError) || !(await this.#unloadOldest())) throw error;
      }
    }
  }

  async #unloadOldest(): Promise<boolean> {
    const idle = [...this.#slots].filter(
      ([id, { ready, users }]) => ready !== null && users === 0 && !this.#options.pinned.includes(id),
    );
    const oldest = idle.toSorted(([, a], [, b]) => a.lastUsedAt - b.lastUsedAt)[0];
    return oldest !== undefined && (await this.unload(oldest[0]));
  }

  async #wait(slot: Slot, { maxWaitMs, signal }: AcquireOptions): Promise<void> {
    const waiting = new AbortController();
    const until = { signal: waiting.signal };
    try {
      await Promise.race([
        slot.loading,
        once(signal, 'abort', until).then(() => signal.throwIfAborted()),
        ...(maxWaitMs === null
          ? []
          : [
              sleep(maxWaitMs, null, until).then(() => {
                throw loadingError(slot);
              }),
            ]),
      ]);
    } finally {
      waiting.abort();
    }
  }

  #releaseOnce(slot: Slot): () => void {
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#leave(slot);
    };
  }

  #leave(slot: Slot): void {
    slot.users--;
    slot.lastUsedAt = performance.now();
    if (slot.timer) clearTimeout(slot.timer);
    slot.timer = null;
    if (slot.users > 0 || slot.keepAliveMs === null || this.#slots.get(slot.entry.id) !== slot) return;
    slot.timer = setTimeout(() => void this.unload(slot.entry.id), slot.keepAliveMs);
    slot.timer.unref();
  }

  #remainingMs({ users, keepAliveMs, lastUsedAt }: Slot): number {
    return users > 0 ? keepAliveMs! : Math.max(0, keepAliveMs! - (performance.now() - lastUsedAt));
  }
}

const MAX_RETRY_AFTER_SECONDS = 30;

/** A 503 that says when loading will be over, by how far it came. */
function loadingError({ entry, share, startedAt }: Slot): ApiError {
  const elapsedMs = performance.now() - startedAt;
  const remainingMs = share > 0 ? (elapsedMs * (1 - share)) / share : elapsedMs;
  const seconds = Math.min(MAX_RETRY_AFTER_SECONDS, Math.max(1, Math.ceil(remainingMs / 1000)));
  const message = `the model "${entry.id}" is being loaded (${Math.floor(100 * share)} %); try again in ${seconds} s`;
  return new ApiError(503, message, { reason: 'model_loading', retryAfterSeconds: seconds });
}
