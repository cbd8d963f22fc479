/**
 * Cuts of SentencePiece text: into words with the spaces before them, or not at all.
 */

const SPACE = 0x20;

/** End of the piece at `pos`: a run of spaces and the run of other characters after it. */
export function scanSpaceRuns(bytes: Uint8Array, pos: number, end: number): number {
  while (pos < end && bytes[pos] === SPACE) pos++;
  while (pos < end && bytes[pos] !== SPACE) pos++;
  return pos;
}

/** The whole text is one piece. */
export function scanWhole(_bytes: Uint8Array, _pos: number, end: number): number {
  return end;
}
