/**
 * The two loops that matter, in WebAssembly SIMD (simd.wat) and in plain JavaScript: a product of matrices in f32 and one vector through
 * more weights than any cache holds. Each a part of the work that stands for the rest (script-contender.ts).
 *
 * M rows of c, N columns, K terms of a sum.
 */
import { type Sample, timed } from '../interleave.ts';

/** Part of the columns of 512 x 2048 x 2048. */
const [M, N, K] = [512, 256, 2048];
export const GEMM_SHARE = N / 2048;
const K_BLOCK = 256;
/** Weights read for one vector, in rows of `COLUMNS`. */
const COLUMNS = 2048;
const ROWS = 1 << 15;
export const NUM_WEIGHTS = ROWS * COLUMNS;

const PAGE_BYTES = 65_536;
const INT4_BLOCK_BYTES = 20;
const INT8_BLOCK_BYTES = 36;
const BLOCK_COLUMNS = 32;

export interface Loops {
  readonly gemm: () => Promise<Sample>;
  readonly decode: () => Promise<Sample>;
}

/** The part of the engine's interface used here; the project's types know no browser. */
interface WasmEngine {
  Memory: new (pages: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  instantiate(binary: Uint8Array, imports: object): Promise<{ instance: { exports: unknown } }>;
}

interface SimdExports {
  gemm(a: number, b: number, c: number, m: number, n: number, k: number): void;
  matvec4(w: number, x: number, out: number, rows: number, blocks: number): void;
}

/** Loops of simd.wat; `decode` has 4-bit weights, `gemm` finds its operands packed. */
export async function wasmLoops(binary: Uint8Array): Promise<Loops> {
  const { WebAssembly } = globalThis as unknown as { WebAssembly: WasmEngine };
  const blocks = COLUMNS / BLOCK_COLUMNS;
  const weightBytes = ROWS * blocks * INT4_BLOCK_BYTES;
  const matrixBytes = 4 * (M * K + K * N + M * N);
  const memory = new WebAssembly.Memory({
    initial: Math.ceil((weightBytes + matrixBytes) / PAGE_BYTES) + 8,
    maximum: 65_536,
  });
  const { instance } = await WebAssembly.instantiate(binary, { env: { memory } });
  const { gemm, matvec4 } = instance.exports as SimdExports;
  new Float32Array(memory.buffer, 0, matrixBytes / 4).fill(0.5);
  new Uint32Array(memory.buffer, matrixBytes, weightBytes / 4).fill(0x3c3c3c3c); // nibbles, and a scale of 0.0115 at any offset
  const [x, out] = [matrixBytes + weightBytes, matrixBytes + weightBytes + blocks * INT8_BLOCK_BYTES];
  return {
    gemm: () =>
      timed(() => {
        for (let k = 0; k < K; k += K_BLOCK) gemm(4 * M * k, 4 * (M * K + N * k), 4 * (M * K + K * N), M, N, K_BLOCK);
      }),
    decode: () => timed(() => matvec4(matrixBytes, x, out, ROWS, blocks)),
  };
}

/** Loops of plain JavaScript in f32. */
export function scriptLoops(): Loops {
  const [a, b, c] = [new Float32Array(M * K).fill(0.5), new Float32Array(K * N).fill(0.25), new Float32Array(M * N)];
  const weights = new Float32Array(NUM_WEIGHTS).fill(0.01);
  const [x, out] = [new Float32Array(COLUMNS).fill(1), new Float32Array(ROWS)];
  return { gemm: () => timed(() => gemmInScript(a, b, c)), decode: () => timed(() => matvecInScript(weights, x, out)) };
}

/** c [M, N] = a [M, K] * b [N, K] transposed, two by two results at a time. */
function gemmInScript(a: Float32Array, b: Float32Array, c: Float32Array): void {
  for (let i = 0; i < M; i += 2) {
    for (let j = 0; j < N; j += 2) twoByTwo(a, b, c, i, j);
  }
}

function twoByTwo(a: Float32Array, b: Float32Array, c: Float32Array, i: number, j: number): void {
  const a0 = i * K;
  const b0 = j * K;
  let c00 = 0;
  let c01 = 0;
  let c10 = 0;
  let c11 = 0;
  for (let k = 0; k < K; k++) {
    const p = a[a0 + k]!;
    const q = a[a0 + K + k]!;
    const r = b[b0 + k]!;
    const s = b[b0 + K + k]!;
    c00 += p * r;
    c01 += p * s;
    c10 += q * r;
    c11 += q * s;
  }
  c[i * N + j] = c00;
  c[i * N + j + 1] = c01;
  c[(i + 1) * N + j] = c10;
  c[(i + 1) * N + j + 1] = c11;
}

/** Four sums at a time, so that additions overlap. */
function matvecInScript(weights: Float32Array, x: Float32Array, out: Float32Array): void {
  for (let row = 0; row < ROWS; row++) out[row] = dot(weights, row * COLUMNS, x);
}

function dot(weights: Float32Array, start: number, x: Float32Array): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  for (let i = 0; i < COLUMNS; i += 4) {
    s0 += weights[start + i]! * x[i]!;
    s1 += weights[start + i + 1]! * x[i + 1]!;
    s2 += weights[start + i + 2]! * x[i + 2]!;
    s3 += weights[start + i + 3]! * x[i + 3]!;
  }
  return s0 + s1 + (s2 + s3);
}
