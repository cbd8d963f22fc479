/**
 * Reads text files as documents, piece by piece, so that a corpus need not fit in memory. Knows nothing about tokens.
 *
 * A `.jsonl` file holds one document a line, {"text": "..."}. Any other file is UTF-8 text: one document, unless lines that hold nothing but
 * <|endoftext|> or <|end_of_text|> separate several (the form TinyStories is published in).
 */
import { isUtf8 } from 'node:buffer';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { z } from 'zod';
import { FormatError } from '../util/errors.ts';

/** A stretch of one document. Tokenising the pieces of a document one by one gives the tokens of the whole. */
export interface TextPiece {
  readonly text: string;
  /** Bytes of the text in UTF-8. */
  readonly numBytes: number;
  /** The piece begins a document; otherwise it continues the one before it. */
  readonly begins: boolean;
}

// Large enough that tokenising a piece outweighs starting it, small enough to be nothing beside a training step.
const PIECE_BYTES = 2 ** 20;
// A text without a place to cut it, or one line of JSON, may grow this large before it is refused or cut anywhere.
const MAX_UNCUT_BYTES = 2 ** 28;

const NEWLINE = 0x0a;
const SEPARATOR_LINE = /^<\|(?:endoftext|end_of_text)\|>[ \t]*\r?(?:\n|$)/m;
const lineSchema = z.looseObject({ text: z.string() });

/** The documents of the files, in order; throws a FormatError for what is missing, empty or not text. */
export function* readDocuments(paths: readonly string[]): Generator<TextPiece> {
  for (const path of paths) {
    let isEmpty = true;
    for (const piece of path.toLowerCase().endsWith('.jsonl') ? jsonlDocuments(path) : textDocuments(path)) {
      isEmpty = false;
      yield piece;
    }
    if (isEmpty) throw new FormatError(`${path}: holds no text; give a file with text in it`);
  }
}

function* textDocuments(path: string): Generator<TextPiece> {
  let begins = true;
  for (const bytes of readPieces(path, lastSafeCut)) {
    let rest = bytes.toString();
    for (;;) {
      const separator = SEPARATOR_LINE.exec(rest);
      const text = separator ? rest.slice(0, separator.index) : rest;
      // White space alone is no document, but between two pieces of one it belongs to the text.
      if (begins ? text.trim() !== '' : text !== '') {
        yield { text, numBytes: Buffer.byteLength(text), begins };
        begins = false;
      }
      if (!separator) break;
      begins = true;
      rest = rest.slice(separator.index + separator[0].length);
    }
  }
}

function* jsonlDocuments(path: string): Generator<TextPiece> {
  let line = 0;
  for (const bytes of readPieces(path, (piece) => piece.lastIndexOf(NEWLINE) + 1)) {
    for (const json of bytes
      .toString()
      .replace(/\r?\n$/, '')
      .split('\n')) {
      line++;
      if (json.trim() === '') continue;
      const text = parseLine(json, `${path}: line ${line}`);
      if (text.trim() !== '') yield { text, numBytes: Buffer.byteLength(text), begins: true };
    }
  }
}

function parseLine(json: string, where: string): string {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new FormatError(`${where} is not JSON; each line must be an object like {"text": "..."}`, { cause });
  }
  const parsed = lineSchema.safeParse(value);
  if (!parsed.success)
    throw new FormatError(`${where} has no "text"; each line must be an object like {"text": "..."}`);
  return parsed.data.text;
}

/**
 * The place after the last newline that a visible character follows, 0 if there is none. No piece of Llama 3's pre-tokenising pattern runs
 * over it: only white space continues a piece after a newline.
 */
function lastSafeCut(bytes: Buffer): number {
  for (let at = bytes.lastIndexOf(NEWLINE); at >= 0; at = at === 0 ? -1 : bytes.lastIndexOf(NEWLINE, at - 1)) {
    if (at + 1 < bytes.length && isVisible(bytes[at + 1]!)) return at + 1;
  }
  return 0;
}

// First bytes of the white space beyond ASCII: U+0085 and U+00A0, U+1680, U+2000 to U+205F, U+3000, U+FEFF.
const SPACE_LEADS = new Set([0xc2, 0xe1, 0xe2, 0xe3, 0xef]);

function isVisible(byte: number): boolean {
  return byte > 0x20 && !SPACE_LEADS.has(byte);
}

/** The bytes of a file in stretches that end where `cutAt` says (0: nowhere yet), checked to be text. */
function* readPieces(path: string, cutAt: (bytes: Buffer) => number): Generator<Buffer> {
  const file = openText(path);
  try {
    let pending: Buffer = Buffer.alloc(0);
    for (let offset = 0; ;) {
      const chunk = Buffer.allocUnsafe(Math.max(PIECE_BYTES, pending.length)); // doubling keeps the copying linear
      const numRead = readSync(file, chunk);
      pending = Buffer.concat([pending, chunk.subarray(0, numRead)]);
      const cut = numRead === 0 ? pending.length : cutAt(pending);
      if (cut === 0 && pending.length > MAX_UNCUT_BYTES) {
        throw new FormatError(`${path}: has no line break in ${MAX_UNCUT_BYTES} bytes; break the text into lines`);
      }
      const piece = pending.subarray(0, cut);
      checkText(piece, offset, path);
      if (cut > 0) yield offset === 0 && piece.indexOf(BYTE_ORDER_MARK) === 0 ? piece.subarray(3) : piece;
      if (numRead === 0) return;
      offset += cut;
      pending = pending.subarray(cut);
    }
  } finally {
    closeSync(file);
  }
}

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

function openText(path: string): number {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const fault = code === 'ENOENT' ? 'does not exist; check the path' : `cannot be opened (${code})`;
    throw new FormatError(`${path}: ${fault}`, { cause });
  }
  if (fstatSync(file).isFile()) return file;
  closeSync(file);
  throw new FormatError(`${path}: is not a regular file; give a text file`);
}

function checkText(bytes: Buffer, offset: number, path: string): void {
  const zero = bytes.indexOf(0);
  if (zero < 0 && isUtf8(bytes)) return;
  const invalid = firstInvalid(bytes);
  const at = zero < 0 ? invalid! : Math.min(zero, invalid ?? zero);
  const hex = bytes[at]!.toString(16).padStart(2, '0');
  throw new FormatError(
    `${path}: byte ${offset + at} (0x${hex}) is not UTF-8 text; give a text file, or convert this one to UTF-8`,
  );
}

/** Index of the first byte that begins no UTF-8 character; null if all is well. */
function firstInvalid(bytes: Buffer): number | null {
  for (let at = 0; at < bytes.length;) {
    const lead = bytes[at]!;
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (length > 1 && !isUtf8(bytes.subarray(at, at + length))) return at;
    at += length;
  }
  return null;
}
