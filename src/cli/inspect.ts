/**
 * `cria inspect`: configuration, metadata, tensors, tokenizer and chat template of a checkpoint, without loading it.
 */
import { Command } from 'commander';
import type { CheckpointDescription } from '../formats/describe-checkpoint.ts';
import { renderFileSize, renderCount } from './format.ts';
import { type CommandIo, printJson, printLine } from './io.ts';
import { checkpointPath } from './open-model.ts';

interface Flags {
  readonly json?: boolean;
}

/** The command, not yet run. */
export function inspectCommand(io: CommandIo): Command {
  return new Command('inspect')
    .description('what a checkpoint holds: configuration, metadata, tensors, tokenizer, chat template')
    .argument('<path>', 'a model folder, .gguf, .safetensors or .pth file, training run, nano or Hugging Face id')
    .option('--json', 'print one JSON value on stdout')
    .action((path: string, flags: Flags) => run(path, flags, io));
}

async function run(name: string, { json }: Flags, io: CommandIo): Promise<void> {
  const { describeCheckpoint } = await import('../formats/describe-checkpoint.ts');
  const description = await describeCheckpoint(await checkpointPath(name, io));
  if (json) printJson(io, jsonOf(description));
  else for (const line of render(description)) printLine(io, line);
}

function jsonOf(described: CheckpointDescription): object {
  const { tokenizer } = described;
  return {
    path: described.path,
    format: described.format,
    problem: described.problem,
    config: described.config,
    parameters: described.numParameters,
    bytes: described.byteLength,
    types: Object.fromEntries(typesOf(described)),
    metadata: shortened(withoutTemplate(described.metadata)),
    tensors: described.tensors.map(({ name, type, shape, byteLength }) => ({ name, type, shape, bytes: byteLength })),
    tokenizer:
      tokenizer === null
        ? null
        : {
            kind: tokenizer.kind,
            pattern: tokenizer.pattern,
            vocab_size: tokenizer.vocabSize,
            special_tokens: tokenizer.numSpecialTokens,
            bos_id: tokenizer.bosId,
            eos_id: tokenizer.eosId,
            stop_tokens: tokenizer.stopTokens,
          },
    tokenizer_problem: described.tokenizerProblem,
    chat_template: described.chatTemplate,
  };
}

function typesOf({ tensors }: CheckpointDescription): [string, { tensors: number; bytes: number }][] {
  const byType = new Map<string, { tensors: number; bytes: number }>();
  for (const { type, byteLength } of tensors) {
    const { tensors: count, bytes } = byType.get(type) ?? { tensors: 0, bytes: 0 };
    byType.set(type, { tensors: count + 1, bytes: bytes + byteLength });
  }
  return [...byType].toSorted(([, a], [, b]) => b.bytes - a.bytes);
}

/** The chat template has a place of its own. */
function withoutTemplate(metadata: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(metadata).filter(([key]) => key !== 'tokenizer.chat_template'));
}

const MAX_ELEMENTS = 16; // of an array; vocabularies have a hundred thousand
const MAX_CHARACTERS = 1000;

/** Metadata as JSON can hold it, without the vocabularies. */
function shortened(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'string' && value.length > MAX_CHARACTERS) return `${value.slice(0, MAX_CHARACTERS)}...`;
  if (Array.isArray(value)) {
    const elements = value.slice(0, MAX_ELEMENTS).map(shortened);
    return value.length > MAX_ELEMENTS ? { length: value.length, first: elements } : elements;
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shortened(inner)]));
}

function* render(described: CheckpointDescription): Generator<string> {
  const { path, format, numParameters, byteLength, problem, config, tokenizer, tokenizerProblem } = described;
  const types = typesOf(described).map(([type, { tensors, bytes }]) => `${tensors} ${type} (${renderFileSize(bytes)})`);
  yield `${path}: ${format}, ${renderCount(numParameters)} parameters, ${renderFileSize(byteLength)}`;
  if (problem !== null) yield `does not run here: ${problem}`;
  yield* section('configuration', Object.entries(config ?? {}));
  yield* section('metadata', Object.entries(withoutTemplate(described.metadata)));
  yield '';
  yield `tensors: ${types.join(', ')}`;
  const width = Math.max(0, ...described.tensors.map(({ name }) => name.length));
  for (const { name, type, shape, byteLength: bytes } of described.tensors) {
    yield `  ${name.padEnd(width)}  ${type.padEnd(6)}  [${shape.join(', ')}]  ${renderFileSize(bytes)}`;
  }
  yield '';
  if (tokenizerProblem !== null) yield `tokenizer cannot be read: ${tokenizerProblem}`;
  else if (tokenizer === null) yield 'no tokenizer';
  else {
    const pattern = tokenizer.pattern === null ? '' : `, pattern ${tokenizer.pattern}`;
    yield `tokenizer: ${tokenizer.kind}${pattern}, ${tokenizer.vocabSize} tokens, ${tokenizer.numSpecialTokens} of them special`;
    yield `  bos ${tokenizer.bosId ?? 'none'}, eos ${tokenizer.eosId ?? 'none'}, ends at ${tokenizer.stopTokens.join(' ')}`;
  }
  yield '';
  yield described.chatTemplate === null ? 'no chat template' : `chat template:\n${described.chatTemplate}`;
}

function* section(title: string, entries: readonly (readonly [string, unknown])[]): Generator<string> {
  if (entries.length === 0) return;
  yield '';
  yield `${title}:`;
  for (const [key, value] of entries) yield `  ${key}: ${renderValue(value)}`;
}

const MAX_SHOWN = 120;

function renderValue(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  const text = JSON.stringify(shortened(value)) ?? 'undefined';
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text;
}
