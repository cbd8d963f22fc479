/**
 * encodeFromF32 on several threads, for K-quants, whose search takes a hundred times longer than other types.
 * The bytes do not depend on the number of threads: blocks are quantised one by one.
 */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { startTypescriptWorker } from '../util/typescript-worker.ts';
import { encodeFromF32 } from './encode-f32.ts';
import type { EncodeRequest } from './encode-worker.ts';
import { STORED_DTYPES, type StoredDType } from './stored-dtype.ts';

export interface EncodePool {
  /** As encodeFromF32, which it calls itself where threads would not pay. */
  encode(dtype: StoredDType, values: Float32Array, target: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

const MIN_VALUES = 2 ** 16; // below, handing over costs as much as the work

/** A pool whose threads start when they are first needed; `close` it when done. */
export function encodePool(numThreads: number = availableParallelism()): EncodePool {
  let workers: Worker[] = [];
  return {
    async encode(dtype, values, target) {
      if (numThreads < 2 || !dtype.endsWith('_K') || values.length < MIN_VALUES) {
        return encodeFromF32(dtype, values, target);
      }
      if (workers.length === 0) workers = Array.from({ length: numThreads }, startEncoder);
      const { blockSize, blockBytes } = STORED_DTYPES[dtype];
      const blocksEach = Math.ceil(values.length / blockSize / numThreads);
      await Promise.all(
        workers.map(async (worker, index) => {
          const first = index * blocksEach;
          const part = values.slice(first * blockSize, (first + blocksEach) * blockSize);
          if (part.length > 0) target.set(await encodeIn(worker, { dtype, values: part }), first * blockBytes);
        }),
      );
    },
    async close() {
      await Promise.all(workers.map((worker) => worker.terminate()));
      workers = [];
    },
  };
}

function startEncoder(): Worker {
  return startTypescriptWorker(new URL('encode-worker.ts', import.meta.url));
}

async function encodeIn(worker: Worker, request: EncodeRequest): Promise<Uint8Array> {
  worker.postMessage(request, [request.values.buffer]);
  const [bytes] = (await once(worker, 'message')) as [Uint8Array]; // an 'error' rejects
  return bytes;
}
