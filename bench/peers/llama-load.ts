/**
 * llama.cpp in bench/load.ts: `node --import tsx llama-load.ts MODEL CONTEXT` loads once and prints what it took.
 */
import { readFileSync } from 'node:fs';
import { loadPeer } from './load-peer.ts';

interface LlamaCpp {
  getLlama(options: { gpu: false; build: 'never'; logLevel: 'disabled'; maxThreads: number }): Promise<{
    loadModel(options: { modelPath: string }): Promise<{
      tokenize(text: string): readonly number[];
      createContext(options: { contextSize: number; threads: number }): Promise<{
        getSequence(): {
          evaluate(tokens: readonly number[], options: { temperature: number }): AsyncGenerator<number>;
        };
      }>;
    }>;
  }>;
}

const { getLlama } = await loadPeer<LlamaCpp>('node-llama-cpp');
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'disabled', maxThreads: 2 });
const startedAt = performance.now();
const model = await llama.loadModel({ modelPath: process.argv[2]! });
const context = await model.createContext({ contextSize: Number(process.argv[3]), threads: 2 });
const loadMs = performance.now() - startedAt;
await context.getSequence().evaluate(model.tokenize('The'), { temperature: 0 }).next();
const firstTokenMs = performance.now() - startedAt;
const peakKib = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]);
console.log(JSON.stringify({ load_ms: loadMs, first_token_ms: firstTokenMs, peak_mib: peakKib / 1024 }));
process.exit(0); // the addon keeps the event loop alive
