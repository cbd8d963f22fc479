import assert from 'node:assert/strict';
import { it } from 'node:test';
import { generateSchema, keepAliveMs } from './ollama-schema.ts';

it('keep_alive is seconds or a duration as Go writes it; what is negative is for ever', () => {
  const cases: [string | number, number | null][] = [
    [0, 0],
    [90, 90_000],
    ['90', 90_000],
    ['1h30m', 5_400_000],
    ['1.5m', 90_000],
    ['250ms', 250],
    [-1, null],
    ['-1m', null],
  ];
  for (const [given, ms] of cases) {
    assert.ok(generateSchema.safeParse({ model: 'toy', keep_alive: given }).success, String(given));
    assert.equal(keepAliveMs(given), ms, String(given));
  }
  assert.equal(keepAliveMs(undefined), undefined);
  for (const wrong of ['', 'm', '5 m', '5d', '1h30', 'forever'])
    assert.ok(!generateSchema.safeParse({ model: 'toy', keep_alive: wrong }).success, wrong);
});
