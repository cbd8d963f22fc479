/**
 * Clipping by the global norm: one factor for all gradients. Source: torch.nn.utils.clip_grad_norm_.
 */

// Keeps the quotient finite for a zero norm; torch's value, so that trajectories compare.
const NORM_EPS = 1e-6;

/** What to multiply all gradients by so that their common norm is at most `maxNorm` (null: no limit). */
export function clipCoefficient(norm: number, maxNorm: number | null): number {
  return maxNorm === null ? 1 : Math.min(1, maxNorm / (norm + NORM_EPS));
}
