/**
 * The traced steps of pre-training, what memory they take, and what they compute per token.
 */
import { type LlamaConfig, llamaWeightShapes } from '../model/config.ts';
import { adamwGraph, gradientNormGraph } from '../optim/adamw.ts';
import { checkMemory } from '../runtime/available-memory.ts';
import type { Backend, Executable } from '../runtime/backend.ts';
import { compile, planFor, type StateStore } from '../runtime/compile.ts';
import { numValues } from '../tensor/dtype.ts';
import type { Graph } from '../tensor/graph.ts';
import { nextTokenGradientGraph, nextTokenLossGraph } from './next-token.ts';
import type { PretrainConfig } from './pretrain-config.ts';
import type { PretrainData } from './pretrain-data.ts';
import { trainingStateBytes } from './training-states.ts';

/** One of each traced step: adding up gradients, their norm, the update, and measuring held-out loss. */
export interface PretrainPrograms<T> {
  readonly gradient: T;
  readonly norm: T;
  readonly update: T;
  readonly measure: T;
}

/** The graphs of a configuration. */
export function pretrainGraphs(
  { train: { precision, checkpointLayers }, optimizer }: PretrainConfig,
  config: LlamaConfig,
  { training, validation }: Pick<PretrainData, 'training' | 'validation'>,
): PretrainPrograms<Graph> {
  const options = { config, shape: training.shape, precision, checkpointLayers };
  const weights = llamaWeightShapes(config);
  return {
    gradient: nextTokenGradientGraph(options),
    norm: gradientNormGraph(weights),
    update: adamwGraph(weights, optimizer),
    measure: nextTokenLossGraph({ ...options, shape: validation?.shape ?? training.shape }),
  };
}

/** Makes the graphs executable on these states. */
export function compilePrograms(
  graphs: PretrainPrograms<Graph>,
  backend: Backend,
  states: StateStore,
): PretrainPrograms<Executable> {
  const { gradient, norm, update, measure } = graphs;
  const executable = (graph: Graph): Executable => compile(graph, backend, states);
  return {
    gradient: executable(gradient),
    norm: executable(norm),
    update: executable(update),
    measure: executable(measure),
  };
}

export interface TrainingMemory {
  /** Weights, gradients and moments. */
  readonly stateBytes: number;
  /** Everything between the states, for the step that needs most. */
  readonly activationBytes: number;
}

/** Memory of a run, from its plans; nothing is allocated. */
export function trainingMemory(graphs: PretrainPrograms<Graph>, config: LlamaConfig, backend: Backend): TrainingMemory {
  const arenas = Object.values(graphs).map((graph: Graph) => planFor(graph, backend).arenaBytes);
  // The native backend's plans share one arena; the reference backend gives each its own, with wider elements.
  const activationBytes =
    backend.name === 'native' ? Math.max(...arenas) : 4 * arenas.reduce((sum, bytes) => sum + bytes, 0);
  return { stateBytes: trainingStateBytes(config), activationBytes };
}

/** Throws a CapacityError that says how much is needed, before anything is allocated. */
export function checkTrainingMemory({ stateBytes, activationBytes }: TrainingMemory): void {
  checkMemory(
    stateBytes + activationBytes,
    'this run',
    'set train.rowsPerMicroStep or train.seqLen lower, train.checkpointLayers to true, or train a smaller model',
  );
}

/** Values of all weights. */
export function numParameters(config: LlamaConfig): number {
  return [...llamaWeightShapes(config).values()].reduce((total, shape) => total + numValues(shape), 0);
}

/**
 * Floating-point operations of training on one token of a full row: 6 per value of the matrices it meets (arXiv:2001.08361, sec. 2.1;
 * looking up an embedding is free), and three times the causal half of the two attention products.
 */
export function trainingFlopsPerToken(config: LlamaConfig, seqLen: number): number {
  const isLookup = (name: string): boolean => name === 'tok_embeddings.weight' && !config.tiedEmbeddings;
  const matrices = [...llamaWeightShapes(config)].filter(([name, { length }]) => length === 2 && !isLookup(name));
  const weights = matrices.reduce((total, [, shape]) => total + numValues(shape), 0);
  return 6 * weights + 3 * 2 * seqLen * config.numHeads * config.headDim * config.numLayers;
}
