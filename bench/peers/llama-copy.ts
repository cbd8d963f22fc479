/**
 * A copy of node-llama-cpp whose llama.cpp has no kernels beyond AVX2: it chooses among the libraries that lie beside it.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';

const MODULES = path.join(import.meta.dirname, 'node_modules');
const PACKAGE = 'node-llama-cpp';
const BINARIES = path.join('@node-llama-cpp', 'linux-x64');
/** ggml's names for x86-64-v3 and what lies below it. */
const UP_TO_AVX2 = new Set(['haswell', 'ivybridge', 'piledriver', 'sandybridge', 'sse42', 'x64']);

/** Makes the copy in `folder`, unless it is there, and gives the path of the package. */
export function copyUpToAvx2(folder: string): string {
  const modules = path.join(folder, 'node_modules');
  const copy = path.join(modules, PACKAGE);
  if (existsSync(copy)) return copy;
  mkdirSync(path.join(modules, '@node-llama-cpp'), { recursive: true });
  for (const name of readdirSync(MODULES).filter((entry) => entry !== PACKAGE && entry !== '@node-llama-cpp'))
    symlinkSync(path.join(MODULES, name), path.join(modules, name));
  cpSync(path.join(MODULES, BINARIES), path.join(modules, BINARIES), { recursive: true, dereference: true });
  const libraries = path.join(modules, BINARIES, 'bins', 'linux-x64');
  for (const file of readdirSync(libraries)) {
    const variant = /^libggml-cpu-(.+)\.so$/.exec(file)?.[1];
    if (variant && !UP_TO_AVX2.has(variant)) rmSync(path.join(libraries, file));
  }
  cpSync(path.join(MODULES, PACKAGE), copy, { recursive: true, dereference: true });
  return copy;
}
