import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ABSENT, ByteTable } from './byte-table.ts';
import { PairTable } from './pair-table.ts';

test('finds every entry it was given and nothing else', () => {
  // Bytes 0 and 1 only: many strings that share their first 8 bytes and differ in length or behind.
  const strings = fc.array(fc.uint8Array({ minLength: 1, maxLength: 14, max: 1 }), { maxLength: 200 });
  fc.assert(
    fc.property(strings, strings, (added, asked) => {
      const table = new ByteTable(8);
      const expected = new Map<string, number>();
      for (const bytes of added) {
        const key = bytes.join();
        if (!expected.has(key)) expected.set(key, expected.size);
        assert.equal(table.findOrAddBytes(bytes), expected.get(key));
      }
      assert.equal(table.size, expected.size);
      for (const bytes of [...added, ...asked]) {
        assert.equal(table.findBytes(bytes), expected.get(bytes.join()) ?? ABSENT);
      }
      for (const [key, index] of expected) assert.equal(table.entry(index).join(), key);
    }),
    { seed: 3, numRuns: 200 },
  );
});

test('finds the entry that two others make together', () => {
  const table = new ByteTable();
  const add = (text: string) => table.findOrAddBytes(Buffer.from(text));
  const [a, long, joined] = [add('a'), add('0123456789'), add('a0123456789')];
  assert.equal(table.findJoined(a, long), joined);
  assert.equal(table.findJoined(long, a), ABSENT);
  assert.equal(table.findJoined(joined, joined), ABSENT);
});

test('never answers with a hidden entry, not even after growing', () => {
  const table = new ByteTable(8);
  table.addHidden(Buffer.from('<s>'));
  for (let i = 0; i < 100; i++) table.findOrAddBytes(Buffer.from(`t${i}`));
  assert.equal(table.findBytes(Buffer.from('<s>')), ABSENT);
  assert.equal(Buffer.from(table.entry(0)).toString(), '<s>');
  assert.equal(table.findBytes(Buffer.from('t99')), 100);
});

test('numbers pairs in the order they come', () => {
  const table = new PairTable(2);
  const pairs = Array.from({ length: 500 }, (_, i) => [i % 23, (i * 7) % 19] as const);
  const expected = new Map<string, number>();
  for (const [left, right] of pairs) {
    const key = `${left} ${right}`;
    if (!expected.has(key)) expected.set(key, expected.size);
    assert.equal(table.findOrAdd(left, right), expected.get(key));
  }
  for (const [left, right] of pairs) assert.equal(table.find(left, right), expected.get(`${left} ${right}`));
  assert.equal(table.find(500, 500), ABSENT);
});
