/**
 * The thread behind encode-pool.ts: takes float32 values, gives stored bytes.
 */
import { parentPort } from 'node:worker_threads';
import { invariant } from '../util/errors.ts';
import { encodeFromF32 } from './encode-f32.ts';
import { STORED_DTYPES, type StoredDType } from './stored-dtype.ts';

export interface EncodeRequest {
  readonly dtype: StoredDType;
  readonly values: Float32Array<ArrayBuffer>;
}

invariant(parentPort !== null, 'internal: encode-worker.ts runs in a worker thread');
const port = parentPort;

port.on('message', ({ dtype, values }: EncodeRequest) => {
  const { blockSize, blockBytes } = STORED_DTYPES[dtype];
  const bytes = new Uint8Array((values.length / blockSize) * blockBytes);
  encodeFromF32(dtype, values, bytes);
  port.postMessage(bytes, [bytes.buffer]);
});
