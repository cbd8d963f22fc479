/**
 * What a checkpoint or a file of tensors holds, for people to look at, also where it is no model that runs here.
 * Names and shapes of tensors are those of the file, not Meta's.
 */
import { open, readdir, stat } from 'node:fs/promises';
import type { LlamaConfig } from '../model/config.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { CriaError, FormatError } from '../util/errors.ts';
import type { Checkpoint } from './checkpoint.ts';
import { chatTemplateOf, checkpointTokenizer } from './convert-tokenizer.ts';
import { openGguf } from './gguf.ts';
import { plainMetadata } from './gguf-checkpoint.ts';
import { openHfWeights } from './hf-folder.ts';
import { openCheckpoint } from './open-checkpoint.ts';
import { openSafetensors } from './safetensors.ts';
import type { TensorInfo, TensorSource } from './tensor-source.ts';
import { openTorchFile } from './torch-file.ts';

export interface TokenizerSummary {
  readonly kind: 'byte-level' | 'sentencepiece';
  /** Name of the pattern that cuts text into pieces; null where it has none. */
  readonly pattern: string | null;
  readonly vocabSize: number;
  readonly numSpecialTokens: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  /** Tokens that end generation. */
  readonly stopTokens: readonly string[];
}

export interface TensorSummary {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
  readonly byteLength: number;
}

export interface CheckpointDescription {
  readonly path: string;
  readonly format: Checkpoint['format'] | 'safetensors' | 'torch';
  /** Null if it is no model that runs here; `problem` says why. */
  readonly config: LlamaConfig | null;
  readonly problem: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly tensors: readonly TensorSummary[];
  readonly numParameters: number;
  readonly byteLength: number;
  readonly tokenizer: TokenizerSummary | null;
  /** Why the tokenizer cannot be read, if there is one. */
  readonly tokenizerProblem: string | null;
  readonly chatTemplate: string | null;
}

/** Looks at a model folder, a GGUF file, or a single .safetensors or .pth file; throws a FormatError if it is none of these. */
export async function describeCheckpoint(path: string): Promise<CheckpointDescription> {
  const opened = await openCheckpoint(path).catch((error: unknown) => {
    if (error instanceof CriaError && error.code !== 'E_INTERNAL') return error;
    throw error;
  });
  if (!(opened instanceof CriaError)) {
    try {
      return await describeModel(opened);
    } finally {
      await opened.close();
    }
  }
  const stored = await openAnyTensors(path, opened);
  const { format, source, metadata } = stored;
  const described = { path, format, config: null, metadata, ...describeTensors(source) };
  await source.close();
  const isFile = format === 'safetensors' || format === 'torch';
  const problem = isFile ? 'holds tensors without a configuration, so it is no model by itself' : opened.message;
  return { ...described, problem, tokenizer: null, tokenizerProblem: null, chatTemplate: null };
}

async function describeModel(checkpoint: Checkpoint): Promise<CheckpointDescription> {
  const { path, format, config, metadata } = checkpoint;
  const stored = await storedTensors(checkpoint);
  const tensors = describeTensors(stored);
  if (stored !== checkpoint.weights) await stored.close();
  const { tokenizer, problem } = await tokenizerOf(checkpoint);
  const chatTemplate = await chatTemplateOf(checkpoint);
  const tokens = { tokenizer, tokenizerProblem: problem, chatTemplate };
  return { path, format, config, problem: null, metadata, ...tensors, ...tokens };
}

/** The tensors under the names that the files give them, where those are not Meta's. */
async function storedTensors({ format, path, weights }: Checkpoint): Promise<TensorSource> {
  if (format === 'gguf') return openGguf(path);
  return format === 'hf' ? openHfWeights(path) : weights;
}

async function tokenizerOf(
  checkpoint: Checkpoint,
): Promise<{ tokenizer: TokenizerSummary | null; problem: string | null }> {
  try {
    const tokenizer = await checkpointTokenizer(checkpoint);
    return { tokenizer: tokenizer === null ? null : describeTokenizer(tokenizer), problem: null };
  } catch (error) {
    if (error instanceof CriaError && error.code !== 'E_INTERNAL') return { tokenizer: null, problem: error.message };
    throw error;
  }
}

function describeTokenizer(tokenizer: Tokenizer): TokenizerSummary {
  const { text } = tokenizer.model;
  return {
    kind: text.kind,
    pattern: text.kind === 'byte-level' ? text.preTokenizer.name : null,
    vocabSize: tokenizer.vocabSize,
    numSpecialTokens: tokenizer.specialTokens.size,
    bosId: tokenizer.bosId,
    eosId: tokenizer.eosId,
    stopTokens: tokenizer.stopIds.map((id) => tokenizer.decode([id])),
  };
}

interface AnyTensors {
  readonly format: CheckpointDescription['format'];
  readonly source: TensorSource;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** What lies at a path that is no checkpoint for us; throws `reason` if it holds no tensors either. */
async function openAnyTensors(path: string, reason: CriaError): Promise<AnyTensors> {
  const stats = await stat(path).catch(() => null);
  if (stats === null) throw reason;
  if (stats.isDirectory()) return openAnyFolder(path, reason);
  if (!stats.isFile() || stats.size === 0) throw reason;
  const start = await firstBytes(path, 8);
  if (start.toString('latin1', 0, 4) === 'GGUF') {
    const source = await openGguf(path);
    return { format: 'gguf', source, metadata: plainMetadata(source.metadata) };
  }
  if (start.toString('latin1', 0, 2) === 'PK')
    return { format: 'torch', source: await openTorchFile(path), metadata: {} };
  if (path.endsWith('.safetensors')) {
    const source = await openSafetensors(path);
    return { format: 'safetensors', source, metadata: source.metadata };
  }
  throw new FormatError(
    `${path}: is neither a GGUF, a .safetensors nor a PyTorch file; give a model folder or such a file`,
  );
}

async function openAnyFolder(path: string, reason: CriaError): Promise<AnyTensors> {
  const names = new Set(await readdir(path));
  if (!names.has('config.json')) throw reason;
  const source = await openHfWeights(path).catch(() => {
    throw reason;
  });
  return { format: 'hf', source, metadata: {} };
}

async function firstBytes(path: string, count: number): Promise<Buffer> {
  const handle = await open(path, 'r');
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(count), 0, count, 0).finally(() => handle.close());
  return buffer.subarray(0, bytesRead);
}

function describeTensors(
  source: TensorSource,
): Pick<CheckpointDescription, 'tensors' | 'numParameters' | 'byteLength'> {
  const entries: readonly (readonly [string, TensorInfo])[] = [...source.tensors];
  return {
    tensors: entries.map(([name, { dtype, shape, byteLength }]) => ({ name, type: dtype, shape, byteLength })),
    numParameters: entries.reduce((total, [, { shape }]) => total + shape.reduce((count, size) => count * size, 1), 0),
    byteLength: entries.reduce((total, [, { byteLength }]) => total + byteLength, 0),
  };
}
