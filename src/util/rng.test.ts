import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { ConfigError } from './errors.ts';
import { fillNormal, integer, normal, permutation, philox4x32, randomStream, uniform } from './rng.ts';

// Random123 1.14, tests/kat_vectors, philox4x32 with 10 rounds: counter, key, output.
const KNOWN_ANSWERS = [
  ['00000000 00000000 00000000 00000000', '00000000 00000000', '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
  ['ffffffff ffffffff ffffffff ffffffff', 'ffffffff ffffffff', '408f276d 41c83b0e a20bc7c6 6d5451fd'],
  ['243f6a88 85a308d3 13198a2e 03707344', 'a4093822 299f31d0', 'd16cfe09 94fdcceb 5001e420 24126ea1'],
] as const;

const words = (text: string) => text.split(' ').map((word) => Number.parseInt(word, 16));

describe('philox4x32', () => {
  for (const [counter, key, output] of KNOWN_ANSWERS) {
    it(`gives the published answer for counter ${counter}`, () => {
      assert.deepEqual(philox4x32(words(counter), words(key)), words(output));
    });
  }
});

describe('randomStream', () => {
  it('puts seed, stream and counter where Philox takes them', () => {
    const stream = randomStream(3 * 2 ** 32 + 5, 7 * 2 ** 32 + 9);
    const [w0, w1] = philox4x32([11, 2, 9, 7], [5, 3]) as [number, number];
    assert.equal(uniform(stream, 2 * 2 ** 32 + 11), (Math.floor(w0 / 32) * 2 ** 26 + Math.floor(w1 / 64)) / 2 ** 53);
  });

  it('gives unrelated numbers for another seed, name or counter', () => {
    const values = [
      uniform(randomStream(0, 'a'), 0),
      uniform(randomStream(1, 'a'), 0),
      uniform(randomStream(0, 'b'), 0),
      uniform(randomStream(0, 0), 0),
      uniform(randomStream(0, 'a'), 1),
      uniform(randomStream(0, 'a'), 2 ** 32),
    ];
    assert.equal(new Set(values).size, values.length);
  });

  it('refuses a seed that is not a whole number', () => {
    for (const seed of [-1, 0.5, 2 ** 53, Number.NaN]) assert.throws(() => randomStream(seed, 'a'), ConfigError);
  });
});

describe('distributions', () => {
  const stream = randomStream(42, 'test');
  const draws = 20_000;

  it('uniform has the moments of [0, 1)', () => {
    const values = Array.from({ length: draws }, (_, i) => uniform(stream, i));
    assert.ok(values.every((value) => value >= 0 && value < 1));
    const mean = values.reduce((sum, value) => sum + value, 0) / draws;
    const square = values.reduce((sum, value) => sum + value * value, 0) / draws;
    assert.ok(Math.abs(mean - 1 / 2) < 0.01 && Math.abs(square - 1 / 3) < 0.01, `${mean} ${square}`);
  });

  it('normal has the moments and the tails of a standard normal', () => {
    const values = new Float64Array(draws);
    fillNormal(values, stream);
    const moment = (power: number) => values.reduce((sum, value) => sum + value ** power, 0) / draws;
    for (const [power, expected, tolerance] of [
      [1, 0, 0.03],
      [2, 1, 0.04],
      [3, 0, 0.12],
      [4, 3, 0.25],
    ] as const) {
      assert.ok(Math.abs(moment(power) - expected) < tolerance, `moment ${power} is ${moment(power)}`);
    }
    const beyondTwo = values.filter((value) => Math.abs(value) > 2).length / draws;
    assert.ok(Math.abs(beyondTwo - 0.0455) < 0.006, `${beyondTwo} lie beyond two standard deviations`);
  });

  it('neighbouring normals are uncorrelated', () => {
    for (const lag of [1, 2, 3, 4]) {
      let sum = 0;
      for (let i = 0; i < draws; i++) sum += normal(stream, i) * normal(stream, i + lag);
      assert.ok(Math.abs(sum / draws) < 0.03, `lag ${lag}: ${sum / draws}`);
    }
  });

  it('fillNormal gives the same numbers as normal, from any counter on', () => {
    for (const firstCounter of [0, 1, 6, 2 ** 33 + 3]) {
      const values = new Float64Array(9);
      fillNormal(values, stream, { mean: 2, std: 3, firstCounter });
      assert.deepEqual(
        [...values],
        Array.from({ length: 9 }, (_, i) => 2 + 3 * normal(stream, firstCounter + i)),
      );
    }
  });

  it('integer reaches every value below the bound about equally often', () => {
    const counts = [0, 0, 0, 0, 0, 0, 0];
    for (let i = 0; i < draws; i++) counts[integer(stream, i, 7)]!++;
    assert.ok(
      counts.every((count) => Math.abs(count / draws - 1 / 7) < 0.01),
      counts.join(' '),
    );
  });

  it('permutation holds each number once, and each order of three is about equally likely', () => {
    assert.deepEqual(
      permutation(stream, 1000).toSorted(),
      Uint32Array.from({ length: 1000 }, (_, i) => i),
    );
    const orders = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const order = permutation(randomStream(i, 'orders'), 3).join('');
      orders.set(order, (orders.get(order) ?? 0) + 1);
    }
    assert.equal(orders.size, 6);
    for (const [order, count] of orders) assert.ok(Math.abs(count - 1000) < 150, `${order}: ${count}`);
    assert.equal(permutation(stream, 0).length, 0);
  });
});
