import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { singleByteIds } from './bpe-model.ts';
import { BytePairEncoder } from './byte-pair-encoder.ts';
import { mergePairs } from './byte-pair-merge.ts';
import { ByteTable } from './byte-table.ts';
import { CutPoints } from './cut-points.ts';
import { IdSink } from './id-sink.ts';
import { ImpliedMerges } from './merge-rules.ts';
import { ByteSymbols } from './symbols.ts';
import { utf8Encode } from './utf8.ts';

const character = fc.constantFrom('a', 'b', 'é', 'ü', '字', '学', 'あ', '🦙', '🦘');
const text = fc.array(character, { minLength: 1, maxLength: 30 }).map((characters) => characters.join(''));

/** All single bytes, then parts of texts that begin and end anywhere, inside characters too. */
const vocabulary = fc
  .array(fc.tuple(text, fc.nat(40), fc.integer({ min: 2, max: 9 })), { maxLength: 60 })
  .map((parts) => {
    const vocab = new ByteTable();
    for (let byte = 0; byte < 256; byte++) vocab.findOrAddBytes(Uint8Array.of(byte));
    for (const [whole, from, length] of parts) {
      const bytes = utf8Encode(whole);
      const part = bytes.subarray(from % bytes.length, (from % bytes.length) + length);
      if (part.length > 0) vocab.findOrAddBytes(part);
    }
    return vocab;
  });

test('merging what lies between the cuts gives what merging the whole gives', () => {
  let numCuts = 0;
  fc.assert(
    fc.property(vocabulary, fc.array(text, { minLength: 1, maxLength: 5 }), (vocab, texts) => {
      const rules = new ImpliedMerges(vocab);
      const symbols = new ByteSymbols(singleByteIds(vocab), null);
      const splitter = { scan: (_bytes: Uint8Array, _pos: number, end: number) => end };
      const encoder = new BytePairEncoder({ vocab, rules, splitter, symbols, ignoresMerges: false });
      const cuts = new CutPoints(vocab);
      for (const whole of texts) {
        const bytes = utf8Encode(whole);
        if (cuts.next(bytes, 0, bytes.length) < bytes.length) numCuts++;
        const [merged, encoded] = [new IdSink(), new IdSink()];
        mergePairs(rules, Int32Array.from(bytes), bytes.length, merged);
        encoder.encode(whole, encoded);
        assert.deepEqual(encoded.toArray(), merged.toArray());
      }
    }),
    { seed: 3, numRuns: 500 },
  );
  assert.ok(numCuts > 500, `only ${numCuts} texts were cut`);
});

test('cuts where no token reaches across, and nowhere else', () => {
  const vocab = new ByteTable();
  for (const token of ['字学', 'éa', 'ab']) vocab.findOrAddBytes(utf8Encode(token));
  const cuts = new CutPoints(vocab);
  const bytes = utf8Encode('字学字éabé');
  const ends: number[] = [];
  for (let pos = 0; pos < bytes.length;) ends.push((pos = cuts.next(bytes, pos, bytes.length)));
  assert.deepEqual(ends, [6, 9, 13, 15]);
});
