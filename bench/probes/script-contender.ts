/**
 * WebAssembly SIMD or plain JavaScript as a contender, one of two processes that share the work: `node --import tsx script-contender.ts
 * wasm|script`, then lines `gemm` (seconds of half of 512 x 2048 x 2048 in f32) and `decode` (seconds for half of the weights of Llama 3.2 1B).
 */
import { readFileSync } from 'node:fs';
import { loadPeer } from '../peers/load-peer.ts';
import { serveLines } from '../serve-lines.ts';
import { TOKEN_WEIGHTS } from '../shape-1b.ts';
import { NUM_WEIGHTS, scriptLoops, wasmLoops } from './script-loops.ts';

/** Part of the weights that this process reads. */
const SHARE = 0.5;

interface Wabt {
  parseWat(
    name: string,
    text: string,
    features: { simd: boolean },
  ): { toBinary(options: Record<string, never>): { buffer: Uint8Array } };
}

async function assemble(): Promise<Uint8Array> {
  const { default: wabt } = await loadPeer<{ default: () => Promise<Wabt> }>('wabt');
  const text = readFileSync(new URL('simd.wat', import.meta.url), 'utf8');
  return (await wabt()).parseWat('simd.wat', text, { simd: true }).toBinary({}).buffer;
}

const loops = process.argv[2] === 'wasm' ? await wasmLoops(await assemble()) : scriptLoops();
await serveLines({
  gemm: loops.gemm,
  decode: async () => ({ seconds: ((await loops.decode()).seconds * SHARE * TOKEN_WEIGHTS) / NUM_WEIGHTS }),
});
