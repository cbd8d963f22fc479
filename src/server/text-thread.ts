/**
 * Long texts of requests are read by a thread, one for each model that is asked for it: millions of characters would keep the event loop,
 * and with it every stream, for seconds. The thread ends when it has had nothing to do for a while.
 */
import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { runInSlices, type Sliced } from '../util/slices.ts';
import { startTypescriptWorker } from '../util/typescript-worker.ts';
import { ApiError } from './api-error.ts';
import { textsIn } from './prompt-length.ts';
import type { ServedModel } from './served-model.ts';
import { type AnswerTask, answerOf, promptsOf, type PromptsTask, type TextModel, type TextTask } from './text-task.ts';
import type { TextAnswer, TextWorkerData } from './text-worker.ts';

/** What a thread and this one need of a model. */
export type ThreadedModel = Pick<ServedModel, 'tokenizer' | 'chatFormat' | 'filesPath'> & {
  readonly model: { readonly contextLength: number };
};

/** Characters that are read in a few milliseconds. */
const SHORT_CHARS = 2 ** 14;
/** A thread takes some 100 MB. */
const IDLE_MS = 30_000;

const threads = new WeakMap<ServedModel['tokenizer'], TextThread>();

/** The response of a task. */
export async function answerTextTask(model: ThreadedModel, task: AnswerTask, signal: AbortSignal): Promise<Response> {
  const thread = threadFor(model, textsIn(task.body));
  if (thread === null) return Response.json(answerOf(task, textModel(model)));
  const [json] = await thread.run(task, signal);
  return new Response(json as Uint8Array<ArrayBuffer>, { headers: { 'Content-Type': 'application/json' } });
}

/** Token ids of prompts, cut to `maxTokens`. */
export async function promptIdsOf(
  model: ThreadedModel,
  texts: PromptsTask['texts'],
  signal: AbortSignal,
  maxTokens: number | null = null,
): Promise<number[][]> {
  const task: PromptsTask = { kind: 'prompts', texts, maxTokens };
  const thread = threadFor(
    model,
    texts.map(({ text }) => text),
  );
  if (thread === null) return runInSlices(promptsOf(task, textModel(model)));
  return runInSlices(numbersOf(await thread.run(task, signal)));
}

function* numbersOf(prompts: readonly ArrayLike<number>[]): Sliced<number[][]> {
  const lists: number[][] = [];
  for (const ids of prompts) {
    lists.push(Array.from(ids));
    yield;
  }
  return lists;
}

function textModel({ tokenizer, chatFormat, model: { contextLength } }: ThreadedModel): TextModel {
  return { tokenizer, chatFormat, contextLength };
}

/** The model's thread if the texts are long; null if this thread is to read them. */
function threadFor({ tokenizer, filesPath, model }: ThreadedModel, texts: readonly string[]): TextThread | null {
  if (filesPath === null || texts.reduce((sum, { length }) => sum + length, 0) <= SHORT_CHARS) return null;
  const thread = threads.get(tokenizer) ?? new TextThread({ path: filesPath, contextLength: model.contextLength });
  threads.set(tokenizer, thread);
  return thread;
}

/** One task after the other in a thread that is there while there are some, and a little longer. */
class TextThread {
  readonly #data: TextWorkerData;
  #worker: Worker | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #idle: NodeJS.Timeout | null = null;

  constructor(data: TextWorkerData) {
    this.#data = data;
  }

  /** The result once the tasks before it are done; a task that is aborted is not begun, or ended with its thread. */
  async run(task: TextTask, signal: AbortSignal): Promise<Uint8Array[] | Uint32Array[]> {
    const answer = this.#last.then(() => this.#ask(task, signal));
    this.#last = answer.catch(() => {});
    const given = await answer;
    if ('result' in given) return given.result;
    throw new ApiError(given.status, given.message, given.details);
  }

  async #ask(task: TextTask, signal: AbortSignal): Promise<TextAnswer> {
    signal.throwIfAborted();
    if (this.#idle) clearTimeout(this.#idle);
    const worker = (this.#worker ??= this.#start());
    worker.ref();
    const ended = new AbortController();
    const end = () => ended.abort();
    worker.once('exit', end);
    try {
      worker.postMessage(task, []);
      const until = { signal: AbortSignal.any([signal, ended.signal]) };
      const [answer] = (await once(worker, 'message', until)) as [TextAnswer]; // an 'error' rejects, and so does the end
      worker.off('exit', end);
      this.#rest(worker);
      return answer;
    } catch (error) {
      this.#stop(worker);
      throw signal.aborted ? error : new Error('internal: the thread that reads long texts ended', { cause: error });
    }
  }

  #start(): Worker {
    const worker = startTypescriptWorker(new URL('text-worker.ts', import.meta.url), { workerData: this.#data });
    worker.on('error', () => this.#stop(worker)); // while it rests; whoever waits is told by its own listener
    return worker;
  }

  #rest(worker: Worker): void {
    worker.unref();
    this.#idle = setTimeout(() => this.#stop(worker), IDLE_MS);
    this.#idle.unref();
  }

  #stop(worker: Worker): void {
    if (this.#worker === worker) this.#worker = null;
    void worker.terminate();
  }
}
