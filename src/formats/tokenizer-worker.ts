/**
 * The thread behind tokenizer-pool.ts: opens a tokenizer once, then takes texts and gives their ids in one array, and where each text's end.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { EncodeOptions } from '../tokenizer/tokenizer.ts';
import { FormatError, invariant } from '../util/errors.ts';
import { openTokenizer } from './open-tokenizer.ts';

export interface EncodeTextsRequest {
  readonly texts: readonly string[];
  readonly options: EncodeOptions;
}

export interface EncodedTexts {
  readonly ids: Uint32Array<ArrayBuffer>;
  readonly ends: readonly number[];
}

/** The ids, or why the tokenizer refuses a text. */
export type EncodeTextsAnswer = EncodedTexts | { readonly refusal: string };

invariant(parentPort !== null, 'internal: tokenizer-worker.ts runs in a worker thread');
const port = parentPort;
const tokenizer = await openTokenizer((workerData as { readonly path: string }).path);

function encode({ texts, options }: EncodeTextsRequest): EncodedTexts {
  const parts = texts.map((text) => tokenizer.encodeToUint32(text, options));
  const ends: number[] = [];
  let length = 0;
  for (const part of parts) ends.push((length += part.length));
  const ids = new Uint32Array(length);
  for (const [i, part] of parts.entries()) ids.set(part, ends[i]! - part.length);
  return { ids, ends };
}

port.on('message', (request: EncodeTextsRequest) => {
  try {
    const encoded = encode(request);
    port.postMessage(encoded satisfies EncodeTextsAnswer, [encoded.ids.buffer]);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    port.postMessage({ refusal: error.message } satisfies EncodeTextsAnswer);
  }
});
