/** Multiplicative hash of two ids, good in the high bits (Knuth, TAOCP 6.4). */
export function pairHash(left: number, right: number): number {
  return Math.imul(Math.imul(left, 0x9e3779b1) ^ right, 0x85ebca6b);
}
