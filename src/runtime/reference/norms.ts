/**
 * Root-mean-square normalisation and its gradient, row by row (arXiv:1910.07467).
 *
 * T tokens, D model dim.
 */
import { floats, floatsOrNull, type ReferenceKernel, sizes } from './kernel.ts';

export const rmsNorm: ReferenceKernel<'rmsNorm'> = ({ attrs, inputs, outputs }) => {
  const [x, weight] = [floats(inputs[0]), floats(inputs[1])];
  const [out, rstd] = [floats(outputs[0]), floats(outputs[1])];
  const [T, D] = sizes(inputs[0]);
  for (let t = 0; t < T; t++) {
    let squares = 0;
    for (let d = 0; d < D; d++) squares += x[t * D + d]! ** 2;
    const r = 1 / Math.sqrt(squares / D + attrs.eps);
    for (let d = 0; d < D; d++) out[t * D + d] = x[t * D + d]! * r * weight[d]!;
    rstd[t] = r;
  }
};

export const rmsNormGrad: ReferenceKernel<'rmsNormGrad'> = ({ inputs, outputs }) => {
  const [dy, x, weight, rstd] = [floats(inputs[0]), floats(inputs[1]), floats(inputs[2]), floats(inputs[3])];
  const [addend, dx] = [floatsOrNull(inputs[4]), floats(outputs[0])];
  const [T, D] = sizes(inputs[0]);
  const dWeight = new Float64Array(D);
  for (let t = 0; t < T; t++) {
    const r = rstd[t]!;
    let projection = 0;
    for (let d = 0; d < D; d++) projection += dy[t * D + d]! * weight[d]! * x[t * D + d]!;
    const alongX = (projection * r * r) / D;
    for (let d = 0; d < D; d++) {
      const i = t * D + d;
      dWeight[d]! += dy[i]! * x[i]! * r;
      const gradient = r * (dy[i]! * weight[d]! - alongX * x[i]!);
      dx[i] = addend ? addend[i]! + gradient : gradient;
    }
  }
  floats(outputs[1]).set(dWeight);
};
