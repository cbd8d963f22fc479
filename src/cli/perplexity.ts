/**
 * `cria perplexity`: how well a model predicts a text, in llama.cpp's convention, to compare checkpoints, types and programs.
 */
import { constants, isUtf8 } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import type { Perplexity } from '../infer/perplexity.ts';
import { FormatError } from '../util/errors.ts';
import { type CommandIo, logLine, printJson, printLine } from './io.ts';
import { addModelFlags, type ModelFlags, openModel, type OpenedModel, wholeNumber } from './open-model.ts';

interface Flags extends ModelFlags {
  readonly model: string;
  readonly file: string;
  readonly windows?: string;
  readonly json?: boolean;
}

/** Tokens of a window unless --context says otherwise, as in llama-perplexity. */
const WINDOW_TOKENS = 512;

/** The command, not yet run. */
export function perplexityCommand(io: CommandIo): Command {
  const command = new Command('perplexity')
    .description('measure how well a model predicts a text')
    .requiredOption('--model <model>', 'a model folder, .gguf file, training run, Hugging Face id or nano')
    .requiredOption('--file <file>', 'a text, UTF-8')
    .option('--windows <n>', 'score only so many windows, from the start of the text')
    .option('--json', 'print one JSON value on stdout')
    .addHelpText(
      'after',
      `\nThe text is cut into windows of --context tokens (${WINDOW_TOKENS} by default) that do not overlap; the second half of each is scored,\n` +
        'as llama-perplexity does. nll is the mean over the scored tokens, in nats; perplexity is e^nll.',
    );
  return addModelFlags(command).action((flags: Flags) => run(flags, io));
}

async function run(flags: Flags, io: CommandIo): Promise<void> {
  const text = await readText(flags.file);
  const maxWindows = flags.windows === undefined ? null : wholeNumber('--windows', flags.windows, 1);
  const opened = await openModel(flags.model, flags, io);
  try {
    const measured = await measure(opened, text, maxWindows, io);
    if (flags.json) printJson(io, asJson(measured));
    else {
      const error = measured.perplexity * measured.nllError;
      printLine(io, `perplexity ${measured.perplexity.toFixed(4)} +- ${error.toFixed(4)}`);
      printLine(
        io,
        `${measured.nll.toFixed(6)} nats a token, ${measured.tokens} tokens of ${measured.windows} windows`,
      );
    }
  } finally {
    await opened.close();
  }
}

async function readText(path: string): Promise<string> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new FormatError(`${path}: cannot be read (${error.code}); give a text file`, { cause: error });
  });
  if (!isUtf8(bytes)) throw new FormatError(`${path}: is not UTF-8 text; give a text file, or convert this one`);
  if (bytes.length > constants.MAX_STRING_LENGTH) {
    throw new FormatError(`${path}: has more than ${constants.MAX_STRING_LENGTH} bytes; give a part of it`);
  }
  return bytes.toString();
}

function asJson({ nll, nllError, perplexity, tokens, windows }: Perplexity): Record<string, number> {
  return { nll, perplexity, tokens, windows, nll_error: nllError };
}

async function measure(
  opened: OpenedModel,
  text: string,
  maxWindows: number | null,
  io: CommandIo,
): Promise<Perplexity> {
  const [{ measurePerplexity }, { ModelRunner }] = await Promise.all([
    import('../infer/perplexity.ts'),
    import('../infer/model-runner.ts'),
  ]);
  const tokenizer = await opened.loadTokenizer();
  const { addsBos } = tokenizer.roles;
  const ids = Int32Array.from(tokenizer.encode(text, { bos: addsBos }));
  const model = await opened.load({ wantedContext: WINDOW_TOKENS, batch: 1 });
  const runner = new ModelRunner(model);
  try {
    return await measurePerplexity(runner, ids, {
      windowTokens: model.contextLength,
      bosId: addsBos ? tokenizer.bosId : null,
      maxWindows,
      onProgress: progressOn(io),
    });
  } finally {
    runner.dispose();
  }
}

/** Rewrites a line where a person watches, else says every tenth part of the way. */
function progressOn(io: CommandIo): (done: number, total: number) => void {
  let tenths = 0;
  return (done, total) => {
    if (io.stderr.isTTY) io.stderr.write(done < total ? `\rwindow ${done} of ${total}` : '\r\u001b[K');
    else if (Math.floor((10 * done) / total) > tenths) {
      tenths = Math.floor((10 * done) / total);
      logLine(io, `window ${done} of ${total}`);
    }
  };
}
