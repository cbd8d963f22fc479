/**
 * `cria tokenizer`: encode, decode, train, inspect.
 */
import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';
import { Command } from 'commander';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { FormatError, UsageError } from '../util/errors.ts';
import { type CommandIo, logLine, printJson, printLine } from './io.ts';

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
  const which = ['--tokenizer <path>', 'folder with a tokenizer, a model or a run'] as const;
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
  const tokenizer = await openTokenizer(flags.tokenizer);
  const options = { bos: flags.bos ?? false, eos: flags.eos ?? false, allowSpecial: flags.special ?? false };
  if (flags.jsonl !== undefined) {
    if (given !== undefined) throw new UsageError('give either TEXT or --jsonl, not both');
    return answerLines(flags.jsonl, io, (line, where) => ({ ids: tokenizer.encode(textOf(line, where), options) }));
  }
  const ids = tokenizer.encode(given ?? (await readAll(io.stdin)), options);
  if (flags.json) printJson(io, { ids });
  else printLine(io, ids.join(' '));
}

async function decode(given: readonly string[], flags: DecodeFlags, io: CommandIo): Promise<void> {
  const tokenizer = await openTokenizer(flags.tokenizer);
  const options = { skipSpecial: flags.skipSpecial ?? false };
  if (flags.jsonl !== undefined) {
    if (given.length > 0) throw new UsageError('give either IDS or --jsonl, not both');
    return answerLines(flags.jsonl, io, (line, where) => ({ text: tokenizer.decode(idsOf(line, where), options) }));
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
  const tokenizer = await openTokenizer(path);
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

/** The tokenizer of a folder, a file in it, or a training run. */
async function openTokenizer(path: string): Promise<Tokenizer> {
  const { loadTokenizerFolder } = await import('../formats/tokenizer-files.ts');
  const kind = statSync(path, { throwIfNoEntry: false });
  if (kind === undefined) throw new FormatError(`${path}: does not exist; give a folder that holds a tokenizer`);
  const folder = kind.isDirectory() ? path : dirname(path);
  const inRun = join(folder, 'tokenizer');
  const isRun = statSync(join(inRun, 'tokenizer.model'), { throwIfNoEntry: false }) !== undefined;
  return loadTokenizerFolder(isRun ? inRun : folder);
}

/** Answers each line of a jsonl file with one line, keeping up with a slow reader. */
async function answerLines(
  file: string,
  io: CommandIo,
  answer: (value: unknown, where: string) => object,
): Promise<void> {
  const input = file === '-' ? io.stdin : await openLines(file);
  let number = 0;
  for await (const line of createInterface({ input, crlfDelay: Infinity })) {
    number++;
    if (line.trim() === '') continue;
    const where = `${file}: line ${number}`;
    const written = io.stdout.write(`${JSON.stringify(answer(parse(line, where), where))}\n`);
    if (!written) await new Promise((resolve) => io.stdout.once('drain', resolve));
  }
}

async function openLines(file: string): Promise<Readable> {
  try {
    return (await open(file)).createReadStream();
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new FormatError(`${file}: ${missing ? 'does not exist; check the path' : 'cannot be opened'}`, { cause });
  }
}

function parse(line: string, where: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new FormatError(`${where} is not JSON; each line must be one object`, { cause });
  }
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
