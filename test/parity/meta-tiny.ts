/**
 * What Meta's own llama/model.py computed in float32 on seeded random weights (test/fixtures/meta-tiny), and the same
 * model traced here: forward, gradients, AdamW steps.
 */
import { readFileSync } from 'node:fs';
import { gradients } from '../../src/autodiff/gradients.ts';
import { openSafetensors } from '../../src/formats/safetensors.ts';
import { ffnDim, type LlamaConfig, llamaWeightShapes } from '../../src/model/config.ts';
import { llamaHidden, llamaLogits } from '../../src/model/llama3.ts';
import { ropeTable } from '../../src/model/rope.ts';
import { type BatchShape, ROPE_TABLE, targetLogProbs, trainingContext } from '../../src/model/training-step.ts';
import type { Backend } from '../../src/runtime/backend.ts';
import { compile, createStates, type StateStore } from '../../src/runtime/compile.ts';
import { type Graph, trace } from '../../src/tensor/graph.ts';
import type { Precision } from '../../src/tensor/operators.ts';
import { affine, assign, mul, sum, sumOfSquares } from '../../src/tensor/ops.ts';

const FOLDER = new URL('../fixtures/meta-tiny/', import.meta.url);

interface Expected {
  args: Record<string, number>;
  loss: number;
  optimizer: { betas: [number, number]; eps: number };
  trajectory: { lr: number; loss: number; grad_norm: number }[];
}

export const expected = JSON.parse(readFileSync(new URL('expected.json', FOLDER), 'utf8')) as Expected;

const { args } = expected;
export const config: LlamaConfig = {
  dim: args.dim!,
  numLayers: args.n_layers!,
  numHeads: args.n_heads!,
  numKvHeads: args.n_kv_heads!,
  headDim: args.dim! / args.n_heads!,
  ffnDim: ffnDim(args.dim!, args.multiple_of!, args.ffn_dim_multiplier!),
  vocabSize: args.vocab_size!,
  normEps: args.norm_eps!,
  ropeTheta: args.rope_theta!,
  ropeScaling: null,
  maxSeqLen: args.max_seq_len!,
  tiedEmbeddings: false,
};

const ROWS = 2;
const SEQ_LEN = args.max_seq_len!;
const shape: BatchShape = { numTokens: ROWS * SEQ_LEN, numSegments: ROWS, numBlocks: ROWS };

/** All tensors of one fixture file as numbers, by name. */
export async function readFixture(name: string): Promise<Map<string, Float32Array | Int32Array>> {
  const file = await openSafetensors(new URL(name, FOLDER).pathname);
  const tensors = new Map<string, Float32Array | Int32Array>();
  for (const [key, info] of file.tensors) {
    const values =
      info.dtype === 'I64' ? Int32Array.from(await file.read(key, 'I64'), Number) : await file.read(key, 'F32');
    tensors.set(key, values);
  }
  await file.close();
  return tensors;
}

/** The golden batch as inputs of the traced model: two rows, one segment each. */
export async function batchInputs(): Promise<Record<string, Int32Array>> {
  const file = await readFixture('logits.safetensors');
  return {
    tokens: file.get('tokens') as Int32Array,
    targets: file.get('targets') as Int32Array,
    positions: Int32Array.from({ length: ROWS * SEQ_LEN }, (_, i) => i % SEQ_LEN),
    segments: Int32Array.from([0, SEQ_LEN, SEQ_LEN, 0, SEQ_LEN, SEQ_LEN, SEQ_LEN, 1]),
    blocks: Int32Array.from([0, SEQ_LEN]),
  };
}

/** States holding Meta's weights, and zeroed gradients and moments beside them. */
export async function loadStates(backend: Backend): Promise<StateStore> {
  const states: StateStore = new Map();
  const shapes = llamaWeightShapes(config);
  createStates(backend, states, shapes, 'f32');
  for (const prefix of ['grad', 'm', 'v']) {
    createStates(backend, states, new Map([...shapes].map(([name, size]) => [`${prefix}.${name}`, size])), 'f32');
  }
  createStates(backend, states, new Map([[ROPE_TABLE, [SEQ_LEN, config.headDim]]]), 'f32');
  for (const [name, values] of await readFixture('model.safetensors')) states.get(name)!.write(values);
  states.get(ROPE_TABLE)!.write(ropeTable(config, SEQ_LEN));
  return states;
}

/** Logits of all tokens. */
export function logitsGraph(precision: Precision): Graph {
  return trace((t) => {
    const context = trainingContext(t, config, shape, precision);
    const hidden = llamaHidden(t.input('tokens', 'i32', [shape.numTokens]), context);
    t.output('logits', llamaLogits(hidden, context));
  });
}

/** Mean loss over valid targets; its gradients are added to the gradient states, their squared norm is returned. */
export function gradientGraph(precision: Precision): Graph {
  return trace((t) => {
    const logProbs = targetLogProbs(t, shape, trainingContext(t, config, shape, precision));
    const loss = mul(affine(sum(logProbs), -1), t.input('lossScale', 'f32', []));
    const shapes = [...llamaWeightShapes(config)];
    const targets = shapes.map(([name, size]) => ({
      tensor: t.state(name, 'f32', size),
      addTo: t.state(`grad.${name}`, 'f32', size),
    }));
    const updated = gradients(loss, targets).map((gradient, i) => assign(targets[i]!.addTo, gradient));
    t.output('loss', loss);
    t.output('squaredNorm', sumOfSquares([updated[0]!, ...updated.slice(1)]));
  });
}

/** One AdamW step on every weight: decay 0.1 on matrices, none on norms. */
export function updateGraph(): Graph {
  const [beta1, beta2] = expected.optimizer.betas;
  return trace((t) => {
    const hyper = t.input('hyper', 'f32', [4]);
    for (const [name, size] of llamaWeightShapes(config)) {
      const states = ['', 'grad.', 'm.', 'v.'].map((prefix) => t.state(prefix + name, 'f32', size));
      t.apply('adamw', [...states, hyper], {
        beta1,
        beta2,
        eps: expected.optimizer.eps,
        weightDecay: size.length === 2 ? 0.1 : 0,
      });
    }
  });
}

/** Ten optimizer steps with clipping at norm 1, as the fixture's; gives loss and gradient norm of each. */
export async function runTrajectory(
  backend: Backend,
  precision: Precision,
): Promise<{ loss: number; gradNorm: number }[]> {
  const states = await loadStates(backend);
  const inputs = await batchInputs();
  const lossScale = [1 / inputs.targets!.filter((target) => target >= 0).length];
  const backward = compile(gradientGraph(precision), backend, states);
  const update = compile(updateGraph(), backend, states);
  const [beta1, beta2] = expected.optimizer.betas;
  const steps = [];
  for (const [i, { lr }] of expected.trajectory.entries()) {
    const { loss, squaredNorm } = await backward.run({ ...inputs, lossScale });
    const gradNorm = Math.sqrt(squaredNorm![0]!);
    await update.run({ hyper: [lr, 1 - beta1 ** (i + 1), 1 - beta2 ** (i + 1), Math.min(1, 1 / (gradNorm + 1e-6))] });
    steps.push({ loss: loss![0]!, gradNorm });
  }
  return steps;
}
