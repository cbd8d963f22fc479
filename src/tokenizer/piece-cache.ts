/**
 * Remembers which ids a piece became, in bounded memory: full, it forgets everything and starts again.
 * Results never depend on what is remembered.
 */
import { ABSENT, ByteTable } from './byte-table.ts';
import type { IdSink } from './id-sink.ts';
import type { Utf8Text } from './utf8.ts';

const MAX_PIECES = 1 << 15;
const MAX_PIECE_BYTES = 48; // longer ones hardly ever come back
const MAX_IDS = MAX_PIECES * 6;

export class PieceCache {
  #pieces = new ByteTable();
  #idStarts = new Int32Array(MAX_PIECES + 1);
  #ids = new Int32Array(1024);

  /** Appends the ids of a piece met before; false if it is not remembered. */
  appendCached(utf8: Utf8Text, start: number, end: number, sink: IdSink): boolean {
    const piece = this.#pieces.find(utf8, start, end);
    if (piece === ABSENT) return false;
    const ids = this.#ids;
    const idEnd = this.#idStarts[piece + 1]!;
    for (let i = this.#idStarts[piece]!; i < idEnd; i++) sink.push(ids[i]!);
    return true;
  }

  /** Remembers that the piece became the ids of `sink` from `firstId` on. */
  remember(utf8: Utf8Text, start: number, end: number, sink: IdSink, firstId: number): void {
    if (end - start > MAX_PIECE_BYTES) return;
    const count = sink.length - firstId;
    let idStart = this.#idStarts[this.#pieces.size]!;
    if (this.#pieces.size === MAX_PIECES || idStart + count > MAX_IDS) {
      this.#pieces = new ByteTable();
      idStart = 0;
    }
    if (idStart + count > this.#ids.length) {
      const grown = new Int32Array(this.#ids.length * 2);
      grown.set(this.#ids);
      this.#ids = grown;
    }
    sink.copyTo(this.#ids, idStart, firstId);
    this.#idStarts[this.#pieces.findOrAdd(utf8, start, end) + 1] = idStart + count;
  }
}
