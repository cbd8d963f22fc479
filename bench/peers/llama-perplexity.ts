/**
 * llama.cpp's perplexity of given tokens, in llama-perplexity's convention: `node --import tsx llama-perplexity.ts MODEL.gguf IDS WINDOW THREADS`,
 * where IDS is a file of int32 token ids that fill whole windows; prints {"nll","tokens"}. Its cache is f16.
 */
import { readFileSync } from 'node:fs';
import { loadPeer } from './load-peer.ts';

interface Next {
  readonly next: { readonly probabilities: ReadonlyMap<number, number> };
}

interface Item {
  readonly generateNext: {
    readonly probabilities: true;
    readonly options: { readonly temperature: 1; readonly topK: 0; readonly topP: 1; readonly minP: 0 };
  };
}

interface LlamaCpp {
  getLlama(options: { gpu: false; build: 'never'; logLevel: 'disabled'; maxThreads: number }): Promise<{
    loadModel(options: { modelPath: string }): Promise<{
      createContext(options: { contextSize: number; batchSize: number; threads: number }): Promise<{
        getSequence(): {
          clearHistory(): Promise<void>;
          controlledEvaluate(input: (number | [number, Item])[]): Promise<(Next | undefined)[]>;
        };
      }>;
    }>;
  }>;
}

const [modelPath, idsPath, windowTokens, threads] = [
  process.argv[2]!,
  process.argv[3]!,
  Number(process.argv[4]),
  Number(process.argv[5]),
];
const bytes = readFileSync(idsPath);
const ids = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const { getLlama } = await loadPeer<LlamaCpp>('node-llama-cpp');
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'disabled', maxThreads: threads });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: windowTokens, batchSize: windowTokens, threads });
const sequence = context.getSequence();

/** Asks for the probabilities of the token that follows; filters and sums of logits do not tell what all of them do. */
function scored(id: number): [number, Item] {
  return [id, { generateNext: { probabilities: true, options: { temperature: 1, topK: 0, topP: 1, minP: 0 } } }];
}

const STEP_TOKENS = 16; // each gives a map of the whole vocabulary
let nll = 0;
let tokens = 0;
for (let start = 0; start + windowTokens <= ids.length; start += windowTokens) {
  const window = Array.from(ids.subarray(start, start + windowTokens));
  const half = Math.floor(windowTokens / 2);
  await sequence.clearHistory();
  await sequence.controlledEvaluate(window.slice(0, half));
  for (let first = half; first < windowTokens - 1; first += STEP_TOKENS) {
    const step = window.slice(first, Math.min(first + STEP_TOKENS, windowTokens - 1));
    for (const [i, result] of (await sequence.controlledEvaluate(step.map(scored))).entries()) {
      nll -= Math.log(result!.next.probabilities.get(window[first + i + 1]!)!);
      tokens++;
    }
  }
}
console.log(JSON.stringify({ nll: nll / tokens, tokens }));
process.exit(0); // the addon keeps the event loop alive
