/**
 * The optimizer step: AdamW with decoupled weight decay (arXiv:1711.05101, algorithm 2).
 */
import { floats, type ReferenceKernel } from './kernel.ts';

type Hyper = [number, number, number, number];

export const adamw: ReferenceKernel<'adamw'> = ({ attrs, inputs, outputs }) => {
  const { beta1, beta2, eps, weightDecay } = attrs;
  const [param, grad, m, v] = [floats(outputs[0]), floats(outputs[1]), floats(outputs[2]), floats(outputs[3])];
  const [learningRate, correction1, correction2, gradientScale] = Array.from(floats(inputs[4])) as Hyper;
  for (let i = 0; i < param.length; i++) {
    const g = grad[i]! * gradientScale;
    m[i] = beta1 * m[i]! + (1 - beta1) * g;
    v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
    const step = m[i]! / correction1 / (Math.sqrt(v[i]! / correction2) + eps);
    param[i]! -= learningRate * (step + weightDecay * param[i]!);
    grad[i] = 0;
  }
};
