/**
 * What a machine can do at most, for estimates of time and cost: this one by measurement, others by their data sheets.
 */
import { totalmem } from 'node:os';
import type { Backend } from '../runtime/backend.ts';
import { NativeBackend } from '../runtime/native.ts';
import type { ProductPrecision } from '../tensor/operators.ts';

export interface Machine {
  readonly name: string;
  /** Operations per second in products of each kind. */
  readonly flops: Readonly<Record<ProductPrecision, number>>;
  /** Bytes per second read from memory. */
  readonly bandwidth: number;
  readonly memoryBytes: number;
  /** Dollars per hour; null if it is not rented. */
  readonly pricePerHour: number | null;
}

/** NVIDIA H100 SXM data sheet, dense; the price is what clouds ask for one on demand, roughly. */
const H100: Machine = {
  name: 'H100 SXM 80 GB',
  flops: { f32: 67e12, bf16: 989e12, int8: 1979e12 },
  bandwidth: 3.35e12,
  memoryBytes: 80e9,
  pricePerHour: 3,
};

export const MACHINES: Readonly<Record<string, Machine>> = { h100: H100 };

// Larger than any cache, small enough to take a moment.
const PROBE_BYTES = 2 ** 28;

/** This machine, measured in a fraction of a second; null where only the reference backend runs, whose speed says nothing. */
export async function measureMachine(backend: Backend): Promise<Machine | null> {
  if (!(backend instanceof NativeBackend)) return null;
  const bf16 = await backend.probe('multiplyAddBf16');
  return {
    name: `this machine (${backend.threads} threads, ${backend.isa})`,
    flops: { f32: await backend.probe('multiplyAddF32'), bf16, int8: 2 * bf16 }, // half the width, twice the lanes
    bandwidth: await backend.probe('readBandwidth', PROBE_BYTES),
    memoryBytes: totalmem(),
    pricePerHour: null,
  };
}
