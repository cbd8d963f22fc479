/**
 * llama.cpp's perplexity of given tokens, in llama-perplexity's convention: `node --import tsx llama-perplexity.ts MODEL.gguf IDS WINDOW THREADS`,
 * where IDS is a file of int32 token ids that fill whole windows; prints {"nll","tokens"}. Logits are llama.cpp's own, f32, with an f16 cache.
 */
import { readFileSync } from 'node:fs';
import { loadPeer } from './load-peer.ts';

interface Next {
  readonly next: { readonly logits: ReadonlyMap<number, number>; readonly totalLogitWeight: number };
}

interface Item {
  readonly generateNext: {
    readonly logits: { readonly filter: { readonly tokens: readonly number[]; readonly includeMax: true } };
    readonly totalLogitWeight: true;
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

/** Asks for the logit of the token that follows, the largest one, and the sum of e^(logit - largest). */
function scored(id: number, following: number): [number, Item] {
  const filter = { tokens: [following], includeMax: true } as const;
  const options = { temperature: 1, topK: 0, topP: 1, minP: 0 } as const;
  return [id, { generateNext: { logits: { filter }, totalLogitWeight: true, options } }];
}

let nll = 0;
let tokens = 0;
for (let start = 0; start + windowTokens <= ids.length; start += windowTokens) {
  const window = Array.from(ids.subarray(start, start + windowTokens));
  const isScored = (i: number) => i >= Math.floor(windowTokens / 2) && i < windowTokens - 1;
  await sequence.clearHistory();
  const results = await sequence.controlledEvaluate(
    window.slice(0, -1).map((id, i) => (isScored(i) ? scored(id, window[i + 1]!) : id)),
  );
  for (const [i, result] of results.entries()) {
    if (!result) continue;
    const { logits, totalLogitWeight } = result.next;
    nll += Math.max(...logits.values()) + Math.log(totalLogitWeight) - logits.get(window[i + 1]!)!;
    tokens++;
  }
}
console.log(JSON.stringify({ nll: nll / tokens, tokens }));
process.exit(0); // the addon keeps the event loop alive
