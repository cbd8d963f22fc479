/**
 * `cria logits`: the logits of a model for given token ids, as a file to compare with other implementations.
 */
import { Command } from 'commander';
import { numBlocksFor } from '../infer/kv-cache.ts';
import type { ModelRunner } from '../infer/model-runner.ts';
import { UsageError } from '../util/errors.ts';
import { type CommandIo, logLine, printJson } from './io.ts';
import { addModelFlags, type ModelFlags, openModel } from './open-model.ts';

interface Flags extends ModelFlags {
  readonly model: string;
  readonly ids: string;
  readonly out: string;
  readonly json?: boolean;
}

/** The command, not yet run. */
export function logitsCommand(io: CommandIo): Command {
  const command = new Command('logits')
    .description('write the logits of a model for given token ids to a safetensors file')
    .requiredOption('--model <model>', 'a model folder, .gguf file, training run or nano')
    .requiredOption('--ids <ids>', 'token ids, separated by commas')
    .requiredOption('--out <file>', 'file for the tensor "logits", float32 [tokens, vocab]')
    .option('--json', 'print one JSON value on stdout');
  // Exact by default, whatever the type the weights were saved in: the numbers are compared with others.
  return addModelFlags(command, 'f32').action((flags: Flags) => run(flags, io));
}

async function run(flags: Flags, io: CommandIo): Promise<void> {
  const [{ checkIds, checkContextFits }, { ModelRunner }, { writeSafetensors }] = await Promise.all([
    import('../infer/request.ts'),
    import('../infer/model-runner.ts'),
    import('../formats/safetensors-write.ts'),
  ]);
  const ids = parseIds(flags.ids);
  const opened = await openModel(flags.model, flags, io);
  try {
    const { vocabSize } = opened.checkpoint.config;
    checkIds(ids, vocabSize);
    const model = await opened.load({ wantedContext: ids.length, batch: 1 });
    checkContextFits(ids.length, model.contextLength);
    const runner = new ModelRunner(model);
    const shape = [ids.length, vocabSize];
    const chunks = () => logitsInChunks(runner, ids);
    await writeSafetensors(flags.out, [{ name: 'logits', dtype: 'F32', shape, chunks }]);
    logLine(io, `wrote logits [${shape.join(', ')}] to ${flags.out}`);
    if (flags.json) printJson(io, { out: flags.out, shape });
  } finally {
    await opened.close();
  }
}

const CHUNK_TOKENS = 256;

/** The bytes of all logits, computed as the file takes them: they may not fit into memory together. */
async function* logitsInChunks(runner: ModelRunner, ids: readonly number[]): AsyncGenerator<Uint8Array> {
  const blockIds = Array.from({ length: numBlocksFor(ids.length) }, (_, id) => id);
  for (let startPos = 0; startPos < ids.length; startPos += CHUNK_TOKENS) {
    const chunk = ids.slice(startPos, startPos + CHUNK_TOKENS);
    const [logits] = await runner.run([{ ids: chunk, startPos, blockIds, logits: 'all' }]);
    yield new Uint8Array(Float32Array.from(logits!).buffer);
  }
}

function parseIds(text: string): number[] {
  const parts = text.split(',').map((part) => part.trim());
  const wrong = parts.find((part) => !/^\d+$/.test(part));
  if (wrong !== undefined) throw new UsageError(`--ids must be whole numbers separated by commas, got "${wrong}"`);
  return parts.map(Number);
}
