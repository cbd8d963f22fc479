/**
 * What generating with a model of any size takes, by tracing its steps: no memory is allocated and no weight read.
 */
import { planFor } from '../runtime/compile.ts';
import { workspaceBytesOf } from '../runtime/native-lowering.ts';
import type { Graph } from '../tensor/graph.ts';
import type { LlamaConfig } from '../model/config.ts';
import { KV_BLOCK_SIZE, kvCacheBytes, type KvType, KV_TYPES, numBlocksFor } from '../infer/kv-cache.ts';
import { stepGraph, type StepModel, type StepShape } from '../infer/step-graph.ts';
import { weightStates } from '../infer/weight-states.ts';
import { precisionOf, type WeightType } from '../infer/weight-type.ts';
import { causalPairs, graphFlops, numStateValues, stateBytes } from './graph-cost.ts';
import type { Machine } from './machine.ts';

export interface InferenceSizes {
  readonly weightType: WeightType;
  readonly kvType: KvType;
  readonly contextLength: number;
  /** Sequences of that length at once. */
  readonly batch: number;
}

export interface InferencePlan {
  readonly numParameters: number;
  readonly weightBytes: number;
  /** 2 * bytes per value * head dim * kv heads * layers * context * batch. */
  readonly kvCacheBytes: number;
  /** The same rounded up to whole blocks: what is allocated. */
  readonly kvAllocatedBytes: number;
  /** What the formula gives without grouped-query attention, a key and value head for every query head. */
  readonly kvBytesWithoutGqa: number;
  /** Everything between the states, in the step that needs most. */
  readonly activationBytes: number;
  readonly totalBytes: number;
  /** Reading the whole context as a prompt. */
  readonly prefillFlops: number;
  /** One more token for every sequence, at the end of the context. */
  readonly decodeFlops: number;
  /** Bytes of weights, keys and values read for it. */
  readonly decodeBytes: number;
}

/** New tokens of the largest step that is planned for. */
const PREFILL_CHUNK = 512;

/** The plan of a model. */
export function inferencePlan(config: LlamaConfig, sizes: InferenceSizes): InferencePlan {
  const { weightType, kvType, contextLength, batch } = sizes;
  const blocksEach = numBlocksFor(contextLength);
  const precision = precisionOf(weightType);
  const numBlocks = blocksEach * batch;
  const weightTypes = weightStates(config, weightType);
  const forms = { weightForm: weightType, weightTypes, precision };
  const model: StepModel = { config, ...forms, kvType, contextLength, numBlocks };
  const step = (numTokens: number, numSequences: number): StepShape => ({
    numTokens,
    numSegments: numSequences,
    numEntries: blocksEach * numSequences,
    numRows: numSequences,
    numHiddenRows: 0,
  });
  const decode = stepGraph(model, step(batch, batch));
  const prefill = stepGraph(model, step(Math.min(PREFILL_CHUNK, contextLength), 1));
  const weights = new Set(weightTypes.keys());
  const weightBytes = stateBytes(decode, (name) => weights.has(name));
  const kvBytes = kvCacheBytes(config, kvType, contextLength, batch);
  const activationBytes = Math.max(arenaBytes(decode), arenaBytes(prefill));
  return {
    numParameters: numStateValues(decode, (name) => weights.has(name)),
    weightBytes,
    kvCacheBytes: kvBytes,
    kvAllocatedBytes: kvCacheBytes(config, kvType, blocksEach * KV_BLOCK_SIZE, batch),
    kvBytesWithoutGqa: (kvBytes * config.numHeads) / config.numKvHeads,
    activationBytes,
    totalBytes: stateBytes(decode, () => true) + activationBytes,
    prefillFlops: batch * prefillFlops(stepGraph(model, step(contextLength, 1)), contextLength),
    decodeFlops: graphFlops(decode, { numPairs: batch * contextLength }),
    decodeBytes: weightBytes + kvBytes,
  };
}

function prefillFlops(wholePrompt: Graph, contextLength: number): number {
  return graphFlops(wholePrompt, { numPairs: causalPairs(contextLength, contextLength) });
}

/** Bytes between the states of a graph, planned as for the native kernels. */
export function arenaBytes(graph: Graph): number {
  return planFor(graph, { workspaceBytes: workspaceBytesOf }).arenaBytes;
}

/** Bytes of the KV cache in every type it can be kept in. */
export function kvBytesByType(config: LlamaConfig, contextLength: number, batch: number): Record<KvType, number> {
  const entries = KV_TYPES.map((kvType) => [kvType, kvCacheBytes(config, kvType, contextLength, batch)]);
  return Object.fromEntries(entries) as Record<KvType, number>;
}

export interface InferenceTime {
  readonly prefillSeconds: number;
  readonly decodeTps: number;
}

/** The best a machine could do: limited by arithmetic or by reading memory, whichever takes longer. */
export function inferenceTime(
  plan: InferencePlan,
  { weightType, batch }: InferenceSizes,
  machine: Machine,
): InferenceTime {
  const seconds = (flops: number, bytes: number) =>
    Math.max(flops / machine.flops[arithmeticOf(weightType)], bytes / machine.bandwidth);
  return {
    prefillSeconds: seconds(plan.prefillFlops, plan.weightBytes),
    decodeTps: batch / seconds(plan.decodeFlops, plan.decodeBytes),
  };
}

function arithmeticOf(weightType: WeightType): keyof Machine['flops'] {
  return weightType === 'q8' || weightType === 'q4' ? 'int8' : weightType;
}
