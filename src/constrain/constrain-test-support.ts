/**
 * For tests: small vocabularies, random walks along what masks allow, and a second opinion on what an expression describes.
 */
import assert from 'node:assert/strict';
import type { ConstraintState, TokenConstraint } from '../infer/token-constraint.ts';
import { hasByte } from './byte-set.ts';
import type { Expression, ExpressionTable } from './expression.ts';
import { ConstraintVocabulary } from './vocabulary.ts';

const encoder = new TextEncoder();

/** Tokens that begin in one part of a JSON text and end in another, parts of characters, and common beginnings. */
const PIECES = [
  [
    '{"',
    '":',
    '": "',
    '": {"',
    '": [',
    '",',
    '", "',
    '"}',
    '"]',
    '"}]',
    '}, {"',
    '}}',
    ']}',
    '],',
    ',"',
    '\n',
    '\n  ',
    '  ',
  ],
  [' "', ' {', ' [', 'true', 'false', 'null', ' true', '10', '100', '2024', '-1', '.5', 'e1', '00', '12', 'a"', 'ab"}'],
  [
    'name',
    'na',
    'me',
    'value',
    'ab',
    'abc',
    'b1',
    ' a',
    'the',
    ' the',
    'é',
    'ü"',
    '日',
    '日本',
    '🦙',
    '🦙"',
    '\\"',
    '\\u',
    '\\u00',
    '\\n',
  ],
  ['root', 'yes', 'no', '@', '.com', '://', 'http', '-01-', 'T12:', ':00', '0000', '----', '/*', '*/', '<|', '|>'],
  ['{"name": "', '{"name"', '", "parameters": {', '<function=', '</function>', '>{"'],
].flat();
/** Pieces that are no whole characters. */
const FRAGMENTS = ['🦙', '日', 'é', '日🦙'].flatMap((text) => {
  const bytes = encoder.encode(text);
  return [bytes.subarray(0, bytes.length - 1), bytes.subarray(1), bytes.subarray(bytes.length - 2)];
});

/** The 256 bytes as ids 0..255, then pieces; the last two ids are a special token and the one that ends a reply. */
export function smallVocabulary(): {
  vocabulary: ConstraintVocabulary;
  bytesOf: (id: number) => Uint8Array;
  specialId: number;
} {
  const tokens = [
    ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
    ...PIECES.map((piece) => encoder.encode(piece)),
    ...FRAGMENTS.filter(({ length }) => length > 1),
    encoder.encode('<|python_tag|>'),
    encoder.encode('<|end|>'),
  ];
  const stopId = tokens.length - 1;
  const vocabulary = new ConstraintVocabulary({
    vocabSize: tokens.length,
    stopIds: [stopId],
    tokenBytes: (id) => tokens[id]!,
    isSpecial: (id) => id >= stopId - 1,
  });
  return { vocabulary, bytesOf: (id) => tokens[id]!, specialId: stopId - 1 };
}

/** Ids of a mask. */
export function idsOf(mask: Uint32Array): number[] {
  const ids: number[] = [];
  for (const [i, word] of mask.entries()) {
    for (let bit = 0; bit < 32; bit++) if ((word >>> bit) & 1) ids.push(32 * i + bit);
  }
  return ids;
}

/** Numbers from 0 to below 1, the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const MAX_STEPS = 3000;
/** What brings a JSON text to its end, once a walk is long enough. */
const CLOSING = ['"', '}', ']', '>', ')'].map((character) => character.charCodeAt(0));

/** The bytes of a reply that takes allowed tokens at random until it may end, after about `length` of them; null if it does not come to an end. */
export function randomReply(
  constraint: TokenConstraint,
  bytesOf: (id: number) => Uint8Array,
  random: () => number,
  length: number,
): Uint8Array | null {
  const state = constraint.start();
  const parts: Uint8Array[] = [];
  for (let step = 0; step < MAX_STEPS; step++) {
    const ids = idsOf(state.allowed());
    if (state.canEnd() && (ids.length === 0 || step >= length || random() < 0.02)) return Buffer.concat(parts);
    assert.ok(ids.length > 0, 'a reply that may not end can go on');
    const closing = step < length ? undefined : CLOSING.find((id) => ids.includes(id));
    const id = closing ?? ids[Math.floor(random() * ids.length)]!;
    state.advance(id);
    parts.push(bytesOf(id));
  }
  return null;
}

/** Takes the bytes of a text one by one; null if one is not allowed. */
export function stateAfter(constraint: TokenConstraint, text: string): ConstraintState | null {
  const state = constraint.start();
  for (const byte of encoder.encode(text)) {
    if (!idsOf(state.allowed()).includes(byte)) return null;
    state.advance(byte);
  }
  return state;
}

/** Whether a constraint of `smallVocabulary` lets a text pass as a whole. */
export function lets(constraint: TokenConstraint, text: string): boolean {
  return stateAfter(constraint, text)?.canEnd() ?? false;
}

/** What may follow a byte, by Brzozowski's derivative: slow, and nothing in common with stacks. */
export function derivative(table: ExpressionTable, expression: Expression, byte: number): Expression {
  switch (expression.kind) {
    case 'bytes':
      return hasByte(expression.set, byte) ? table.empty : table.never;
    case 'sequence': {
      const { first, rest } = expression;
      const inFirst = table.sequence(derivative(table, first, byte), rest);
      return first.isNullable ? table.choice(inFirst, derivative(table, rest, byte)) : inFirst;
    }
    case 'choice':
      return table.choice(...expression.options.map((option) => derivative(table, option, byte)));
    case 'repeat': {
      const { body, min, max } = expression;
      return table.sequence(derivative(table, body, byte), table.repeat(body, Math.max(min - 1, 0), max - 1));
    }
    case 'call':
      return derivative(table, expression.rule.body!, byte);
    default:
      return table.never;
  }
}
