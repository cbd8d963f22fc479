/**
 * `cria tokenizer`: encode, decode, train, inspect.
 */
import { existsSync } from 'node:fs';
import { text as readAll } from 'node:stream/consumers';
import { Command } from 'commander';
import type { TokenizerPool } from '../formats/tokenizer-pool.ts';
import type { EncodeOptions, Tokenizer } from '../tokenizer/tokenizer.ts';
import { FormatError, UsageError } from '../util/errors.ts';
import { type CommandIo, logLine, printJson, printLine } from './io.ts';
import { readJsonLines, writeJsonLine } from './json-lines.ts';
import { checkpointPath } from './open-model.ts';

interface EncodeFlags {
  tokenizer: string;
  jsonl?: string;
  bos?: boolean;
  eos?: boolean;
  special?: boolean;
  json?: boolean;
}

interface DecodeFlags {
  tokenizer: string;
  jsonl?: string;
  skipSpecial?: boolean;
  json?: boolean;
}

interface TrainFlags {
  vocabSize: string;
  out: string;
  json?: boolean;
}

/** The command with its subcommands, not yet run. */
export function tokenizerCommand(io: CommandIo): Command {
  const command = new Command('tokenizer').description('text to token ids and back; train a vocabulary');
  const add = (name: string, description: string): Command =>
    command.command(name).description(description).option('--json', 'print JSON on stdout');
  const which = [
    '--tokenizer <path>',
    "a folder with a tokenizer, a tokenizer's own file, a .gguf file, a run, nano or a Hugging Face id",
  ] as const;
  const lines = 'a file (- for stdin) with one JSON object a line; the answer is one line each';
  add('encode [text]', 'print the ids of a text (of stdin where none is given)')
    .requiredOption(...which)
    .option('--jsonl <file>', `${lines}: {"text"} to {"ids"}`)
    .option('--bos', 'begin with the beginning-of-text token')
    .option('--eos', 'end with the end-of-text token')
    .option('--special', 'turn names of special tokens in the text into those tokens')
    .action((given: string | undefined, flags: EncodeFlags) => encode(given, flags, io));
  add('decode [ids...]', 'print the text of ids, separated by commas or blanks')
    .requiredOption(...which)
    .option('--jsonl <file>', `${lines}: {"ids"} to {"text"}`)
    .option('--skip-special', 'leave special tokens out')
    .action((given: string[], flags: DecodeFlags) => decode(given, flags, io));
  add('train <files...>', 'train a byte-level BPE vocabulary with the Llama 3 pattern on text or jsonl files')
    .requiredOption('--vocab-size <n>', 'number of ids, special tokens included')
    .requiredOption('--out <folder>', 'where tokenizer.model and special_tokens.json go')
    .action((files: string[], flags: TrainFlags) => train(files, flags, io));
  add('inspect [text]', 'print what a tokenizer holds, or the tokens of a text one by one')
    .requiredOption(...which)
    .action((given: string | undefined, flags: EncodeFlags) => inspect(given, flags, io));
  return command;
}

async function encode(given: string | undefined, flags: EncodeFlags, io: CommandIo): Promise<void> {
  const options = { bos: flags.bos ?? false, eos: flags.eos ?? false, allowSpecial: flags.special ?? false };
  if (flags.jsonl !== undefined) {
    if (given !== undefined) throw new UsageError('give either TEXT or --jsonl, not both');
    return encodeLines(flags.tokenizer, flags.jsonl, options, io);
  }
  const tokenizer = await openTokenizer(flags.tokenizer, io);
  const ids = tokenizer.encode(given ?? (await readAll(io.stdin)), options);
  if (flags.json) printJson(io, { ids });
  else printLine(io, ids.join(' '));
}

const BATCH_CHARACTERS = 2 ** 23;

/** Lines of a file go to threads in batches; a line of stdin is answered before the next is read, as programs that hold on to a pipe expect. */
async function encodeLines(name: string, file: string, options: EncodeOptions, io: CommandIo): Promise<void> {
  const { openTokenizerPool } = await import('../formats/tokenizer-pool.ts');
  const pool = await openTokenizerPool(await tokenizerPath(name, io));
  const most = file === '-' ? 0 : BATCH_CHARACTERS;
  let [waiting, numCharacters]: [TextLine[], number] = [[], 0];
  const answer = async () => {
    const lines = waiting;
    [waiting, numCharacters] = [[], 0];
    await answerLines(lines, pool, options, io);
  };
  try {
    for await (const { value, where } of readJsonLines(file, io)) {
      const text = textOf(value, where);
      waiting.push({ text, where });
      numCharacters += text.length;
      if (numCharacters >= most) await answer();
    }
  } finally {
    await answer().finally(() => pool.close()); // lines before a bad one have their answers before its error
  }
}

interface TextLine {
  readonly text: string;
  readonly where: string;
}

/** One line of ids each; a text that the tokenizer refuses ends it with a FormatError that names its line. */
async function answerLines(
  lines: readonly TextLine[],
  pool: TokenizerPool,
  options: EncodeOptions,
  io: CommandIo,
): Promise<void> {
  const texts = lines.map(({ text }) => text);
  const together = await pool.encode(texts, options).catch((error: unknown) => {
    if (error instanceof FormatError) return null; // one by one, to find which
    throw error;
  });
  for (const [i, line] of lines.entries()) {
    const ids = together?.[i] ?? encodeLine(line, pool.tokenizer, options);
    await writeJsonLine({ ids: Array.from(ids) }, io);
  }
}

function encodeLine({ text, where }: TextLine, tokenizer: Tokenizer, options: EncodeOptions): Uint32Array {
  try {
    return tokenizer.encodeToUint32(text, options);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new FormatError(`${where} is refused: ${cause.message}`, { cause });
  }
}

async function decode(given: readonly string[], flags: DecodeFlags, io: CommandIo): Promise<void> {
  const tokenizer = await openTokenizer(flags.tokenizer, io);
  const options = { skipSpecial: flags.skipSpecial ?? false };
  if (flags.jsonl !== undefined) {
    if (given.length > 0) throw new UsageError('give either IDS or --jsonl, not both');
    for await (const { value, where } of readJsonLines(flags.jsonl, io)) {
      await writeJsonLine({ text: tokenizer.decode(idsOf(value, where), options) }, io);
    }
    return;
  }
  const words = (given.length > 0 ? given.join(' ') : await readAll(io.stdin)).split(/[\s,]+/).filter(Boolean);
  const ids = words.map(Number);
  const wrong = ids.findIndex((id) => !Number.isInteger(id) || id < 0);
  if (wrong >= 0) throw new UsageError(`"${words[wrong]}" is no token id; give whole numbers like 9906,1917`);
  const text = tokenizer.decode(ids, options);
  if (flags.json) printJson(io, { text });
  else printLine(io, text);
}

async function train(files: readonly string[], { vocabSize, out, json }: TrainFlags, io: CommandIo): Promise<void> {
  const size = Number(vocabSize);
  if (!Number.isInteger(size)) throw new UsageError(`--vocab-size ${vocabSize} is no whole number`);
  const [{ trainBpe }, { readDocuments }, { saveTokenizerFolder }] = await Promise.all([
    import('../tokenizer/train-bpe.ts'),
    import('../data/text-files.ts'),
    import('../formats/tokenizer-files.ts'),
  ]);
  let numBytes = 0;
  function* texts(): Generator<string> {
    for (const piece of readDocuments(files)) {
      numBytes += piece.numBytes;
      yield piece.text;
    }
  }
  const startMs = performance.now();
  const onProgress = (merges: number, wanted: number): void => logLine(io, `${merges} of ${wanted} merges`);
  const tokenizer = trainBpe(texts(), { vocabSize: size, onProgress });
  await saveTokenizerFolder(out, tokenizer);
  const seconds = (performance.now() - startMs) / 1000;
  if (json) printJson(io, { out, vocab_size: tokenizer.vocabSize, bytes: numBytes, seconds });
  else
    printLine(io, `${tokenizer.vocabSize} tokens from ${numBytes} bytes in ${seconds.toFixed(1)} s, saved in ${out}`);
}

const LONGEST_SHOWN = 20;

async function inspect(
  given: string | undefined,
  { tokenizer: path, json }: EncodeFlags,
  io: CommandIo,
): Promise<void> {
  const tokenizer = await openTokenizer(path, io);
  if (given !== undefined) {
    const tokens = tokenizer.encode(given, { allowSpecial: true }).map((id) => ({
      id,
      text: tokenizer.decode([id]),
      bytes: Buffer.from(tokenizer.tokenBytes(id)).toString('hex'),
    }));
    if (json) return printJson(io, { tokens });
    for (const { id, text, bytes } of tokens)
      printLine(io, `${String(id).padStart(6)}  ${JSON.stringify(text)}  ${bytes}`);
    return;
  }
  const special = Object.fromEntries(tokenizer.specialTokens);
  const longest = longestTokens(tokenizer);
  if (json) return printJson(io, { vocab_size: tokenizer.vocabSize, special_tokens: special, longest_tokens: longest });
  printLine(io, `${tokenizer.vocabSize} tokens, ${tokenizer.specialTokens.size} of them special:`);
  for (const [name, id] of tokenizer.specialTokens) printLine(io, `${String(id).padStart(6)}  ${name}`);
  printLine(io, 'longest tokens:');
  for (const { id, text } of longest) printLine(io, `${String(id).padStart(6)}  ${JSON.stringify(text)}`);
}

function longestTokens(tokenizer: Tokenizer): { id: number; text: string }[] {
  const ids = Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter((id) => hasBytes(tokenizer, id));
  return ids
    .toSorted((a, b) => tokenizer.tokenBytes(b).length - tokenizer.tokenBytes(a).length || a - b)
    .slice(0, LONGEST_SHOWN)
    .map((id) => ({ id, text: tokenizer.decode([id]) }));
}

/** Vocabularies may have holes between their ids. */
function hasBytes(tokenizer: Tokenizer, id: number): boolean {
  if (tokenizer.isSpecial(id)) return false;
  try {
    return tokenizer.tokenBytes(id).length > 0;
  } catch {
    return false;
  }
}

/** A path, or the model that the name means. */
async function tokenizerPath(name: string, io: CommandIo): Promise<string> {
  return existsSync(name) ? name : checkpointPath(name, io);
}

async function openTokenizer(name: string, io: CommandIo): Promise<Tokenizer> {
  const { openTokenizer: open } = await import('../formats/open-tokenizer.ts');
  return open(await tokenizerPath(name, io));
}

function textOf(value: unknown, where: string): string {
  const text = (value as { text?: unknown } | null)?.text;
  if (typeof text !== 'string') throw new FormatError(`${where} has no "text"; each line must be like {"text": "..."}`);
  return text;
}

function idsOf(value: unknown, where: string): number[] {
  const ids = (value as { ids?: unknown } | null)?.ids;
  if (!Array.isArray(ids) || !ids.every((id) => Number.isInteger(id))) {
    throw new FormatError(`${where} has no "ids"; each line must be like {"ids": [1, 2, 3]}`);
  }
  return ids as number[];
}
