/**
 * Greedy text of llama.cpp, through node-llama-cpp: `node --import tsx llama-greedy.ts MODEL.gguf TOKENS PROMPT...` prints one JSON
 * array with, for each prompt, its ids by llama.cpp's tokenizer and the ids that follow.
 */
import { loadPeer } from './load-peer.ts';

interface Sequence {
  clearHistory(): Promise<void>;
  evaluate(tokens: readonly number[], options: { temperature: number }): AsyncGenerator<number>;
}

interface LlamaCpp {
  getLlama(options: { gpu: false; build: 'never'; logLevel: 'disabled'; maxThreads: number }): Promise<{
    loadModel(options: { modelPath: string }): Promise<{
      tokenize(text: string): number[];
      createContext(options: { contextSize: number; threads: number }): Promise<{ getSequence(): Sequence }>;
    }>;
  }>;
}

const [modelPath, numTokens, ...prompts] = process.argv.slice(2);
const { getLlama } = await loadPeer<LlamaCpp>('node-llama-cpp');
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'disabled', maxThreads: 2 });
const model = await llama.loadModel({ modelPath: modelPath! });
const context = await model.createContext({ contextSize: 512, threads: 2 });
const sequence = context.getSequence();
const answers: { prompt: readonly number[]; ids: number[] }[] = [];
for (const text of prompts) {
  await sequence.clearHistory();
  const prompt = model.tokenize(text);
  const ids: number[] = [];
  for await (const id of sequence.evaluate(prompt, { temperature: 0 })) {
    ids.push(id);
    if (ids.length === Number(numTokens)) break;
  }
  answers.push({ prompt, ids });
}
process.stdout.write(`${JSON.stringify(answers)}\n`, () => process.exit(0)); // the addon keeps the event loop alive
