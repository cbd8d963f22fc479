/**
 * Random numbers without hidden state: each is a pure function of (seed, stream name, counter), so that a run resumes, and a batch can
 * be computed in any order, with the same numbers. Who draws keeps the counter.
 * Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */
import { createHash } from 'node:crypto';
import { ConfigError, invariant } from './errors.ts';

/** One independent sequence of random numbers; 2^64 counters long. Make it with `randomStream`. */
export interface RandomStream {
  /** The seed, as the two words of the Philox key. */
  readonly key: readonly [number, number];
  /** The stream, as the upper two words of the Philox counter. */
  readonly words: readonly [number, number];
}

const WORD = 2 ** 32;

/** The stream of a seed with this name (any text, or an integer such as a request number); another name is an independent stream. */
export function randomStream(seed: number, name: string | number): RandomStream {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new ConfigError(`seed must be an integer from 0 to 2^53 - 1, got ${seed}`);
  }
  const key = wordsOf(seed);
  if (typeof name === 'number') {
    invariant(Number.isSafeInteger(name) && name >= 0, `internal: stream ${name} is not a whole number`);
    return { key, words: wordsOf(name) };
  }
  const digest = createHash('sha256').update(name).digest();
  // The top bit keeps names apart from numbers, which stay below 2^53.
  return { key, words: [digest.readUInt32LE(0), (digest.readUInt32LE(4) | 0x80000000) >>> 0] };
}

/** A number in [0, 1) with 53 random bits. */
export function uniform(stream: RandomStream, counter: number): number {
  fillBlock(stream, counter);
  return ((block[0]! >>> 5) * 2 ** 26 + (block[1]! >>> 6)) * 2 ** -53;
}

/** An integer in [0, bound), each equally likely up to bound / 2^53. */
export function integer(stream: RandomStream, counter: number, bound: number): number {
  return Math.floor(uniform(stream, counter) * bound);
}

/** A standard normal number (Box-Muller; at most 6.7 standard deviations from 0). Four neighbours share one Philox block. */
export function normal(stream: RandomStream, counter: number): number {
  const place = counter % 4;
  fillBlock(stream, (counter - place) / 4);
  return place % 2 === 0 ? normalCosine(place) : normalSine(place - 1);
}

/** Sets target[i] to mean + std * normal(stream, firstCounter + i). */
export function fillNormal(
  target: Float32Array | Float64Array,
  stream: RandomStream,
  { mean = 0, std = 1, firstCounter = 0 } = {},
): void {
  for (let i = 0; i < target.length; i++) {
    const counter = firstCounter + i;
    const place = counter % 4;
    if (i === 0 || place === 0) fillBlock(stream, (counter - place) / 4);
    target[i] = mean + std * (place % 2 === 0 ? normalCosine(place) : normalSine(place - 1));
  }
}

/** The numbers 0 .. length - 1 in random order (Fisher-Yates). */
export function permutation(stream: RandomStream, length: number): Uint32Array {
  const order = Uint32Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const other = integer(stream, i, i + 1);
    const swapped = order[i]!;
    order[i] = order[other]!;
    order[other] = swapped;
  }
  return order;
}

/** The Philox4x32-10 block cipher: four words of counter and two of key give four random words. */
export function philox4x32(counter: readonly number[], key: readonly number[]): number[] {
  const [c0, c1, c2, c3] = counter as [number, number, number, number];
  philox(c0, c1, c2, c3, key[0]!, key[1]!);
  return [...block];
}

function wordsOf(value: number): [number, number] {
  return [value >>> 0, Math.floor(value / WORD) >>> 0];
}

const block = new Uint32Array(4);

function fillBlock(stream: RandomStream, counter: number): void {
  philox(counter >>> 0, Math.floor(counter / WORD) >>> 0, stream.words[0], stream.words[1], ...stream.key);
}

function normalCosine(first: number): number {
  return radius(block[first]!) * Math.cos(angle(block[first + 1]!));
}

function normalSine(first: number): number {
  return radius(block[first]!) * Math.sin(angle(block[first + 1]!));
}

function radius(word: number): number {
  return Math.sqrt(-2 * Math.log((word + 1) / WORD));
}

function angle(word: number): number {
  return (2 * Math.PI * word) / WORD;
}

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const KEY_STEP_0 = 0x9e3779b9; // golden ratio
const KEY_STEP_1 = 0xbb67ae85; // sqrt(3) - 1
const ROUNDS = 10;

function philox(c0: number, c1: number, c2: number, c3: number, key0: number, key1: number): void {
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = high1 ^ c1 ^ key0;
    c1 = low1;
    c2 = high0 ^ c3 ^ key1;
    c3 = low0;
    key0 = (key0 + KEY_STEP_0) | 0;
    key1 = (key1 + KEY_STEP_1) | 0;
  }
  block[0] = c0;
  block[1] = c1;
  block[2] = c2;
  block[3] = c3;
}

/** The upper word of the 64-bit product of two words. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = Math.imul(aHigh, bLow) >>> 0;
  const carried = middle + (Math.imul(aLow, bLow) >>> 16); // below 2^32: (2^16 - 1)^2 + 2^16 - 1
  const crossed = (carried & 0xffff) + (Math.imul(aLow, bHigh) >>> 0);
  return (Math.imul(aHigh, bHigh) + (carried >>> 16) + (crossed >>> 16)) | 0;
}
