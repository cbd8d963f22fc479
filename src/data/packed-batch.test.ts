import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TRAINING_BLOCK_SIZE } from '../model/training-step.ts';
import { batchShape, IGNORED, maxSegmentsPerRow, packBatch, rowSequences } from './packed-batch.ts';

const BOS = 9;

/** The sequences of a row as plain lists of ids and targets. */
function sequences(...tokens: number[]): number[][][] {
  return rowSequences(Int32Array.from(tokens), BOS).map(({ ids, targets }) => [Array.from(ids), Array.from(targets)]);
}

describe('rowSequences', () => {
  it('shifts targets within a document and predicts nothing across its end', () => {
    assert.deepEqual(sequences(1, 2, 8, BOS, 3, 4), [
      [
        [BOS, 2, 8],
        [2, 8, IGNORED],
      ],
      [
        [BOS, 3],
        [3, 4],
      ],
    ]);
  });

  it('ignores a document that starts at the last target', () => {
    assert.deepEqual(sequences(BOS, 2, 8, BOS), [
      [
        [BOS, 2, 8],
        [2, 8, IGNORED],
      ],
    ]);
  });
});

describe('packBatch', () => {
  it('lays rows out with positions from 0 in every document and padding in no segment', () => {
    const rows = [
      [
        { ids: [1, 2], targets: [2, IGNORED] },
        { ids: [3], targets: [4] },
      ],
      [{ ids: [5, 6, 7], targets: [6, 7, 8] }],
    ];
    const batch = packBatch(rows, 4, { numTokens: 8, numSegments: 4, numBlocks: 4 });
    assert.deepEqual([...batch.tokens], [1, 2, 3, 0, 5, 6, 7, 0]);
    assert.deepEqual([...batch.targets], [2, -1, 4, -1, 6, 7, 8, -1]);
    assert.deepEqual([...batch.positions], [0, 1, 0, 0, 0, 1, 2, 0]);
    assert.deepEqual([...batch.segments], [0, 2, 2, 0, 2, 1, 1, 1, 4, 3, 3, 2, 0, 0, 0, 0]);
    assert.deepEqual([...batch.blocks], [0, 2, 4, 0]);
    assert.equal(batch.numValid, 5);
  });

  it('gives each block of a long document its first slot', () => {
    const ids = new Int32Array(TRAINING_BLOCK_SIZE * 2 + 1);
    const shape = batchShape(1, ids.length, 1);
    assert.deepEqual([...packBatch([[{ ids, targets: ids }]], ids.length, shape).blocks], [0, 64, 128]);
  });

  it('fits whatever documents a row touches into the shape computed beforehand', () => {
    const lengths = fc.array(fc.integer({ min: 2, max: 90 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(lengths, fc.integer({ min: 1, max: 200 }), fc.nat(), (documents, seqLen, start) => {
        const stream = documents.flatMap((length) => [BOS, ...Array.from({ length: length - 1 }, () => 1)]);
        fc.pre(stream.length > seqLen);
        const offset = start % (stream.length - seqLen);
        const row = rowSequences(Int32Array.from(stream.slice(offset, offset + seqLen + 1)), BOS);
        const bound = maxSegmentsPerRow(seqLen, documents.length, Math.min(...documents));
        const batch = packBatch([row, row], seqLen, batchShape(2, seqLen, bound));
        assert.ok(row.length <= bound);
        assert.equal(batch.numValid, [...batch.targets].filter((target) => target >= 0).length);
      }),
      { seed: 1 },
    );
  });
});
