/**
 * Tokens and merges as Hugging Face and GGUF files write them; the inverse of vocab-builder.ts.
 */
import { bytesToAlphabet } from './byte-alphabet.ts';
import { WORD_MARK, type BpeModel } from './bpe-model.ts';
import { ABSENT } from './byte-table.ts';
import { utf8Decode } from './utf8.ts';

/** How files write an ordinary token of the model. */
export function tokenSpelling({ vocab, text }: BpeModel): (id: number) => string {
  if (text.kind === 'byte-level') return (id) => bytesToAlphabet(vocab.entry(id));
  const byteOfId = new Map([...text.byteIds].map((id, byte) => [id, byte]));
  return (id) => {
    const byte = byteOfId.get(id);
    if (byte !== undefined) return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
    return utf8Decode(vocab.entry(id)).replaceAll(' ', WORD_MARK);
  };
}

/** All merges, strongest first: those listed, or every way to make each token from two others, as Transformers' converter lists them. */
export function mergeList(model: BpeModel): [number, number][] {
  const { merges } = model;
  if (merges === null) return impliedPairs(model);
  return Array.from({ length: merges.size }, (_, rank) => {
    const { left, right } = merges.pair(rank);
    return [left, right];
  });
}

function impliedPairs({ vocab, scores }: BpeModel): [number, number][] {
  const order = Array.from({ length: vocab.size }, (_, id) => id).filter((id) => !vocab.isHidden(id));
  if (scores !== null) order.sort((a, b) => scores[b]! - scores[a]! || a - b);
  return order.flatMap((id) => {
    const bytes = vocab.entry(id);
    const splits: [number, number][] = [];
    for (let at = 1; at < bytes.length; at++) {
      const left = vocab.findBytes(bytes.subarray(0, at));
      const right = vocab.findBytes(bytes.subarray(at));
      if (left !== ABSENT && right !== ABSENT) splits.push([left, right]);
    }
    return splits.toSorted(([a, b], [c, d]) => a - c || b - d);
  });
}
