/**
 * Index data that points outside its tensor: every backend must refuse it, whatever would lie there.
 */
import type { Tensor } from '../../src/tensor/graph.ts';
import { cacheWrite, gather, rope, scatterAdd, tokenLogProbs } from '../../src/tensor/ops.ts';
import { type Given, given, randomTensor, type Traced } from '../support.ts';

export interface WrongData {
  readonly name: string;
  readonly tensors: Readonly<Record<string, Given>>;
  readonly body: Traced;
}

const ROWS = 3;
const TABLE = randomTensor('table', 'f32', [ROWS, 2]);
const HEADS = { numHeads: 1, numKvHeads: 1, headDim: 2, scale: 1, blockSize: 2, out: 'f32' } as const;

function indexed(
  name: string,
  ids: readonly number[],
  body: (t: Readonly<Record<string, Tensor>>) => Tensor,
): WrongData {
  const tensors = { table: TABLE, cache: { ...TABLE, isState: true }, ids: given('i32', [ids.length], ids) };
  return { name, tensors, body: (t) => ({ y: body(t) }) };
}

function attentionOver(name: string, segment: readonly number[], ...blocks: number[]): WrongData {
  return {
    name: `attention: ${name}`,
    tensors: { table: TABLE, segments: given('i32', [1, 4], segment), blocks: given('i32', [blocks.length], blocks) },
    body: (t, trace) => ({
      y: trace.apply('attention', [t.table!, t.table!, t.table!, t.segments!, t.blocks!], HEADS)[0]!,
    }),
  };
}

/** Wrong anywhere. */
function outside(wrong: number): WrongData[] {
  return [
    indexed(`gather of row ${wrong}`, [0, wrong], (t) => gather(t.table!, t.ids!)),
    indexed(`scatterAdd into row ${wrong}`, [0, wrong, 2], (t) => scatterAdd(t.table!, t.ids!, ROWS)),
    indexed(`rope at position ${wrong}`, [0, 1, wrong], (t) => rope(t.table!, t.table!, t.ids!, 2)),
    attentionOver(`slot ${wrong}`, [0, 1, 3, 0], 0, wrong),
    attentionOver(`first query ${wrong}`, [wrong, 1, 1, 0], 0),
    attentionOver(`first block table entry ${wrong}`, [0, 1, 1, wrong], 0),
  ];
}

/** Wrong at or beyond the end; negative targets and slots have a meaning. */
function beyond(wrong: number): WrongData[] {
  return [
    indexed(`tokenLogProbs of target ${wrong}`, [0, wrong, 2], (t) => tokenLogProbs(t.table!, t.table!, t.ids!, 'f32')),
    indexed(`cacheWrite to slot ${wrong}`, [0, wrong, 2], (t) => cacheWrite(t.cache!, t.table!, t.ids!)),
    attentionOver(`${wrong + 1} queries`, [0, wrong + 1, wrong + 1, 0], 0, 2),
    attentionOver(`${wrong + 1} keys`, [0, 1, wrong + 1, 0], 0, 2),
  ];
}

export const WRONG_DATA: readonly WrongData[] = [
  ...[ROWS, 2 ** 30, -1].flatMap(outside),
  ...[ROWS, 2 ** 30].flatMap(beyond),
  attentionOver('fewer keys than queries', [0, 3, 2, 0], 0),
  attentionOver('-1 queries', [0, -1, 1, 0], 0),
];
