/**
 * The thread behind text-thread.ts: opens the tokenizer and chat format of a model once, then does one task after the other.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { openCheckpoint } from '../formats/open-checkpoint.ts';
import { checkpointChatFormat, requireTokenizer } from '../infer/model-files.ts';
import { invariant } from '../util/errors.ts';
import { type ApiError, type ApiErrorDetails, toApiError } from './api-error.ts';
import { resultOf, type TextModel, type TextTask } from './text-task.ts';

export interface TextWorkerData {
  readonly path: string;
  readonly contextLength: number;
}

/** The result, or a refusal in plain data, as errors lose their class on the way from a thread. */
export type TextAnswer =
  | { readonly result: Uint8Array[] | Uint32Array[] }
  | { readonly status: number; readonly message: string; readonly details: ApiErrorDetails };

invariant(parentPort !== null, 'internal: text-worker.ts runs in a worker thread');
const port = parentPort;
const opened = open(workerData as TextWorkerData);
opened.catch(() => {}); // whoever asks is told

async function open({ path, contextLength }: TextWorkerData): Promise<TextModel> {
  const checkpoint = await openCheckpoint(path);
  try {
    const tokenizer = await requireTokenizer(checkpoint);
    return { tokenizer, chatFormat: await checkpointChatFormat(checkpoint, tokenizer), contextLength };
  } finally {
    await checkpoint.close();
  }
}

function refusal({ status, message, reason, param, retryAfterSeconds, extra, logged }: ApiError): TextAnswer {
  return { status, message, details: { reason, param, retryAfterSeconds, extra, logged } };
}

port.on('message', async (task: TextTask) => {
  try {
    const result = resultOf(task, await opened);
    const buffers = result.map(({ buffer }) => buffer as ArrayBuffer);
    port.postMessage({ result } satisfies TextAnswer, buffers);
  } catch (error) {
    port.postMessage(refusal(toApiError(error)));
  }
});
