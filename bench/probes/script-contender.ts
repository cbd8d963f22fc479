/**
 * WebAssembly SIMD or plain JavaScript as a contender, one of the processes that share the work: `node --import tsx script-contender.ts
 * wasm|script PROCESSES`, then lines `gemm` and `decode` (seconds of this share of 512 x 2048 x 2048 in f32, and of the weights of Llama 3.2 1B).
 */
import { readFileSync } from 'node:fs';
import { loadPeer } from '../peers/load-peer.ts';
import { serveLines } from '../serve-lines.ts';
import { TOKEN_WEIGHTS } from '../shape-1b.ts';
import { GEMM_SHARE, NUM_WEIGHTS, scriptLoops, wasmLoops } from './script-loops.ts';

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
const share = 1 / Number(process.argv[3]);
await serveLines({
  gemm: async () => ({ seconds: ((await loops.gemm()).seconds * share) / GEMM_SHARE }),
  decode: async () => ({ seconds: ((await loops.decode()).seconds * share * TOKEN_WEIGHTS) / NUM_WEIGHTS }),
});
