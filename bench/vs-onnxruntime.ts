/**
 * Our engine against onnxruntime-node: the products of Llama 3.2 1B in int4 (its MatMulNBits) for one token and for a prompt, and one product
 * of f32 matrices, in turn. Needs the peers (bench/peers/README.md).
 *
 *   npx tsx bench/vs-onnxruntime.ts [--rounds N] [--threads N] [--json]
 */
import { compareOptions } from './compute-options.ts';

await compareOptions(['onnx', 'q4', 'f32']);
