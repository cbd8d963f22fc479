/**
 * llama.cpp through node-llama-cpp as a contender: `node --import tsx llama-contender.ts MODEL.gguf whole|part THREADS`, then lines `decode`
 * and `prefill` (seconds of one and of 512 tokens of Llama 3.2 1B) and `gemm` (seconds of 512 x 2048 x 2048, as part of a prompt). The
 * second argument is the extent of the file, see shape-1b.ts.
 */
import { type Sample, timed } from '../interleave.ts';
import { serveLines } from '../serve-lines.ts';
import { decodeScale, EXTENTS, type Extent, GEMM, LAYER_WEIGHTS, PREFILL_TOKENS, prefillScale } from '../shape-1b.ts';
import { loadPeer } from './load-peer.ts';

interface Sequence {
  clearHistory(): Promise<void>;
  evaluate(tokens: readonly number[], options: { temperature: number }): AsyncGenerator<number>;
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
}

interface LlamaCpp {
  getLlama(options: { gpu: false; build: 'never'; logLevel: 'error' | 'disabled'; maxThreads: number }): Promise<{
    loadModel(options: { modelPath: string }): Promise<{
      createContext(options: { contextSize: number; batchSize: number; threads: number }): Promise<{
        getSequence(): Sequence;
      }>;
    }>;
  }>;
}

const DECODE_TOKENS = 16;

const [modelPath, extent, threads] = [process.argv[2]!, process.argv[3] as Extent, Number(process.argv[4])];
const { getLlama } = await loadPeer<LlamaCpp>('node-llama-cpp');
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'disabled', maxThreads: threads });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: 1024, batchSize: PREFILL_TOKENS, threads });
const sequence = context.getSequence();
const tokens = (length: number) => Array.from({ length }, (_, i) => 1000 + ((i * 7919) % 10_000));

/** Seconds of a prompt, scaled. */
async function prefill(scale: number): Promise<Sample> {
  await sequence.clearHistory();
  const { seconds } = await timed(() => sequence.evaluateWithoutGeneratingNewTokens(tokens(PREFILL_TOKENS)));
  return { seconds: seconds * scale };
}

/** Seconds a token, sampling the likeliest included, scaled. */
async function decode(scale: number): Promise<Sample> {
  await sequence.clearHistory();
  const generated = sequence.evaluate(tokens(8), { temperature: 0 });
  await generated.next();
  const { seconds } = await timed(async () => {
    for (let i = 0; i < DECODE_TOKENS; i++) await generated.next();
  });
  await generated.return(undefined);
  return { seconds: (seconds / DECODE_TOKENS) * scale };
}

const layersWeights = EXTENTS[extent].numLayers * LAYER_WEIGHTS;
await serveLines({
  decode: () => decode(decodeScale(extent)),
  prefill: () => prefill(prefillScale(extent)),
  gemm: () => prefill((GEMM.n * GEMM.k) / layersWeights),
});
process.exit(0); // the addon keeps the event loop alive
