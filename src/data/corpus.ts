/**
 * A corpus: documents of some files, divided into a training part and a held-out part by bytes. Knows nothing about tokens.
 */
import { ConfigError } from '../util/errors.ts';
import { readDocuments, type TextPiece } from './text-files.ts';

export type SplitName = 'train' | 'validation';

export interface Corpus {
  /** Where the held-out part begins; null if nothing is held out. */
  readonly cut: CutPoint | null;
  /** All text in order, the training part first. */
  pieces(): Iterable<SplitPiece>;
  /** The text of the training part alone, for training a tokenizer. */
  trainingTexts(): Iterable<string>;
}

export interface SplitPiece extends TextPiece {
  readonly split: SplitName;
}

/** A byte of a document, counted from 0. */
export interface CutPoint {
  readonly document: number;
  readonly byte: number;
}

/** Reads the files once to find where the last `validationFraction` of their bytes begins. */
export function openCorpus(paths: readonly string[], validationFraction: number): Corpus {
  if (paths.length === 0) throw new ConfigError('data.files is empty; name at least one text or jsonl file');
  if (!(validationFraction >= 0 && validationFraction < 1)) {
    throw new ConfigError(`data.validationFraction must be at least 0 and below 1, got ${validationFraction}`);
  }
  const documentBytes: number[] = [];
  for (const { numBytes, begins } of readDocuments(paths)) {
    if (begins) documentBytes.push(numBytes);
    else documentBytes[documentBytes.length - 1]! += numBytes;
  }
  const cut = validationFraction === 0 ? null : findCut(documentBytes, validationFraction);
  const pieces = () => splitPieces(readDocuments(paths), cut);
  return { cut, pieces, trainingTexts: () => textsOf(pieces(), 'train') };
}

/**
 * Where to divide documents of these sizes so that about `validationFraction` of the bytes come after: between two documents if that holds
 * out at least half of what was asked for, otherwise at the exact byte inside a document.
 */
export function findCut(documentBytes: readonly number[], validationFraction: number): CutPoint {
  const total = documentBytes.reduce((sum, bytes) => sum + bytes, 0);
  const wanted = Math.floor(total * (1 - validationFraction));
  let start = 0;
  let last: CutPoint = { document: 0, byte: 0 };
  for (const [document, bytes] of documentBytes.entries()) {
    if (start >= wanted) {
      const heldOut = (total - start) / total;
      return heldOut >= validationFraction / 2 ? { document, byte: 0 } : last;
    }
    last = { document, byte: wanted - start };
    start += bytes;
  }
  return last;
}

function* splitPieces(pieces: Iterable<TextPiece>, cut: CutPoint | null): Generator<SplitPiece> {
  let document = -1;
  let byte = 0; // of the document, at which the piece starts
  for (const piece of pieces) {
    if (piece.begins) {
      document++;
      byte = 0;
    }
    if (cut === null || document < cut.document || (document === cut.document && byte + piece.numBytes <= cut.byte)) {
      yield { ...piece, split: 'train' };
    } else if (document > cut.document || byte > cut.byte) {
      yield { ...piece, split: 'validation' };
    } else {
      yield* dividePiece(piece, cut.byte - byte);
    }
    byte += piece.numBytes;
  }
}

function* dividePiece(piece: TextPiece, at: number): Generator<SplitPiece> {
  const bytes = Buffer.from(piece.text);
  let whole = at;
  while (whole > 0 && (bytes[whole]! & 0xc0) === 0x80) whole--; // not inside a character
  const [before, after] = [bytes.subarray(0, whole), bytes.subarray(whole)];
  if (whole > 0) yield { text: before.toString(), numBytes: before.length, begins: piece.begins, split: 'train' };
  yield { text: after.toString(), numBytes: after.length, begins: true, split: 'validation' };
}

function* textsOf(pieces: Iterable<SplitPiece>, wanted: SplitName): Generator<string> {
  for (const { text, split } of pieces) if (split === wanted) yield text;
}
