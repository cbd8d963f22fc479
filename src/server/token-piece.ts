/**
 * A token on its own, as answers of the server show it.
 */
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

/** Its text, or its bytes where it holds part of a character. */
export function tokenPiece(tokenizer: Tokenizer, id: number): string | number[] {
  const text = tokenizer.decode([id]);
  return text.includes('\uFFFD') ? [...tokenizer.tokenBytes(id)] : text;
}
