/**
 * e^-x for x >= 0, several times faster than Math.exp, and the same bits on every machine and version of Node.
 */

const POWERS = Float64Array.from({ length: 1025 }, (_, n) => 2 ** -n);
const LARGEST = 700; // beyond, the result is below 1e-304 and counts as 0

const [C1, C2, C3, C4, C5, C6, C7, C8] = taylorOfPowerOfTwo(8) as [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
];

/** e^-x, relative error below 1e-9; 0 for x > 700. */
export function expNegative(x: number): number {
  if (!(x <= LARGEST)) return 0;
  const y = x * Math.LOG2E;
  const whole = Math.floor(y + 0.5);
  const f = whole - y; // in [-0.5, 0.5]
  const power = 1 + f * (C1 + f * (C2 + f * (C3 + f * (C4 + f * (C5 + f * (C6 + f * (C7 + f * C8)))))));
  return power * POWERS[whole]!;
}

/** Coefficients of f, f^2, ... in the series of 2^f: ln(2)^n / n!. */
function taylorOfPowerOfTwo(degree: number): number[] {
  let coefficient = 1;
  return Array.from({ length: degree }, (_, i) => (coefficient *= Math.LN2 / (i + 1)));
}
