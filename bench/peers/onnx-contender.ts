/**
 * onnxruntime-node as a contender: `node --import tsx onnx-contender.ts FOLDER THREADS` with the files of write_onnx.py, then lines
 * `gemm` (seconds of 512 x 2048 x 2048 in f32), `decode` and `prefill` (seconds of one and of 512 tokens, 4-bit weights, products only).
 */
import path from 'node:path';
import { type Sample, timed } from '../interleave.ts';
import { serveLines } from '../serve-lines.ts';
import { loadPeer } from './load-peer.ts';

type OrtTensor = object;

interface Session {
  run(feeds: Readonly<Record<string, OrtTensor>>): Promise<unknown>;
}

interface OnnxRuntime {
  Tensor: new (type: 'float32', data: Float32Array, dims: readonly number[]) => OrtTensor;
  InferenceSession: {
    create(path: string, options: { intraOpNumThreads: number; interOpNumThreads: number }): Promise<Session>;
  };
}

const DIM = 2048;
const PREFILL_TOKENS = 512;

const [folder, threads] = [process.argv[2]!, Number(process.argv[3])];
const { Tensor, InferenceSession } = await loadPeer<OnnxRuntime>('onnxruntime-node');

function matrix(rows: number): OrtTensor {
  return new Tensor(
    'float32',
    Float32Array.from({ length: rows * DIM }, (_, i) => ((i * 7919) % 1000) / 500 - 1),
    [rows, DIM],
  );
}

const sessions = new Map<string, Promise<Session>>();
function session(name: string): Promise<Session> {
  const options = { intraOpNumThreads: threads, interOpNumThreads: 1 };
  const opened = sessions.get(name) ?? InferenceSession.create(path.join(folder, name), options);
  sessions.set(name, opened);
  return opened;
}

/** Seconds of one run of the model in file `name`; loading it does not count. */
async function measure(name: string, feeds: Readonly<Record<string, OrtTensor>>): Promise<Sample> {
  const loaded = await session(name);
  return timed(() => loaded.run(feeds));
}

const gemmInputs = { a: matrix(PREFILL_TOKENS), b: matrix(DIM) };
const token = { x: matrix(1) };
const prompt = { x: matrix(PREFILL_TOKENS) };
await serveLines({
  gemm: () => measure('gemm.onnx', gemmInputs),
  decode: () => measure('int4.onnx', token),
  prefill: () => measure('int4.onnx', prompt),
});
