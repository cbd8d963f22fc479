/**
 * What the processor can do at most, by the plain loops of probes/limits.cpp: an opinion independent of our kernels' own probes.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ConfigError } from '../src/util/errors.ts';

/** Operations (a multiply-add is two) or bytes per second of all threads together; null where the instruction set has none. */
export interface Limits {
  readonly f32: number;
  readonly bf16: number | null;
  readonly int8: number | null;
  readonly readBandwidth: number;
}

/** Compiles the probe for this processor and runs it `rounds` times; the best of each figure. */
export function measureLimits(threads: number, rounds: number): Limits {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'cria-limits-'));
  try {
    const program = path.join(folder, 'limits');
    const source = path.join(import.meta.dirname, 'probes', 'limits.cpp');
    // -w: GCC's own intrinsics headers raise warnings.
    const flags = ['-O2', '-std=c++17', '-march=native', '-w', '-pthread'];
    execFileSync(process.env['CXX'] ?? 'g++', [...flags, source, '-o', program]);
    const run = () => JSON.parse(execFileSync(program, [String(threads)], { encoding: 'utf8' })) as Limits;
    return Array.from({ length: rounds }, run).reduce(bestOf);
  } catch (cause) {
    throw new ConfigError('the limits could not be measured: a C++ compiler is needed (CXX names one)', { cause });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function larger(x: number | null, y: number | null): number | null {
  return x === null || y === null ? null : Math.max(x, y);
}

function bestOf(a: Limits, b: Limits): Limits {
  return {
    f32: Math.max(a.f32, b.f32),
    bf16: larger(a.bf16, b.bf16),
    int8: larger(a.int8, b.int8),
    readBandwidth: Math.max(a.readBandwidth, b.readBandwidth),
  };
}
