/**
 * Damage to files at random: flipped bits, cut ends, huge numbers in any field, moved, repeated and inserted pieces. Knows no format.
 */

/** A small generator of its own, so that a seed names a run whatever the library does (mulberry32). */
export function generator(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

const NUMBERS = [
  0n,
  1n,
  2n,
  255n,
  2n ** 16n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 53n,
  2n ** 60n,
  2n ** 63n,
  2n ** 64n - 1n,
];
const TEXTS = [
  '-1',
  '1e999',
  '4611686018427387904',
  'null',
  '[[[[[[',
  '{"a":',
  '"../../x"',
  '""',
  'NaN',
  '1.5',
  'true',
  '\0',
];

type Damage = (bytes: Buffer, random: (limit: number) => number, limit: number) => Buffer;

const DAMAGES: readonly Damage[] = [
  (bytes, random, limit) => {
    bytes[random(limit)]! ^= 1 << random(8);
    return bytes;
  },
  (bytes, random, limit) => {
    for (let i = 1 + random(8); i > 0; i--) bytes[random(limit)] = random(256);
    return bytes;
  },
  (bytes, random) => bytes.subarray(0, random(bytes.length)),
  (bytes, random, limit) => {
    const at = random(Math.max(1, limit - 8));
    if (at + 8 <= bytes.length) bytes.writeBigUInt64LE(NUMBERS[random(NUMBERS.length)]!, at);
    return bytes;
  },
  (bytes, random, limit) => {
    const at = random(Math.max(1, limit - 4));
    if (at + 4 <= bytes.length) bytes.writeUInt32LE(Number(NUMBERS[random(NUMBERS.length)]! & 0xffffffffn), at);
    return bytes;
  },
  (bytes, random, limit) => {
    const [from, to, length] = [random(limit), random(limit), 1 + random(64)];
    bytes.copy(bytes, to, from, Math.min(bytes.length, from + length));
    return bytes;
  },
  (bytes, random, limit) => {
    const [at, length] = [random(limit), random(64)];
    return random(2) === 0
      ? Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
      : Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at)]);
  },
  (bytes, random, limit) => {
    const at = random(limit);
    const text = Buffer.from(TEXTS[random(TEXTS.length)]!);
    return Buffer.concat([bytes.subarray(0, at), text, bytes.subarray(at + random(12))]);
  },
  (bytes, random, limit) => {
    // Eight bytes of another place: two tensors at one offset, or a count that belongs elsewhere.
    const [from, to] = [random(limit), random(limit)];
    bytes.copy(bytes, to, from, Math.min(bytes.length, from + 8));
    return bytes;
  },
  (bytes, random, limit) => {
    // A number of the text in place of another: two tensors at one offset, an id twice.
    const text = bytes.toString('latin1', 0, limit);
    const numbers = [...text.matchAll(/\d+/g)];
    if (numbers.length < 2 || numbers.length > 10_000) return bytes;
    const [from, to] = [numbers[random(numbers.length)]!, numbers[random(numbers.length)]!];
    return Buffer.concat([
      bytes.subarray(0, to.index),
      Buffer.from(from[0], 'latin1'),
      bytes.subarray(to.index + to[0].length),
    ]);
  },
  (bytes, random, limit) => {
    // A zip archive ends with its directory; other formats end with data.
    const tail = Math.min(bytes.length, limit);
    bytes[bytes.length - 1 - random(tail)] = random(256);
    return bytes;
  },
];

/** The value of `original`, damaged in one to three ways. */
export function damaged(original: Buffer, headerBytes: number, random: (limit: number) => number): Buffer {
  let bytes: Buffer = Buffer.from(original);
  for (let times = 1 + random(3); times > 0 && bytes.length > 0; times--) {
    const limit = random(8) === 0 ? bytes.length : Math.min(headerBytes, bytes.length);
    bytes = DAMAGES[random(DAMAGES.length)]!(bytes, random, limit);
  }
  return bytes;
}
