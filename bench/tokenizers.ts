/**
 * Speed of the tokenizer beside tiktoken and Hugging Face tokenizers (Rust, through Python) and two JavaScript tokenizers, each in a
 * process of its own, measured in turn, by processor time; and whether those with the same vocabulary give the same tokens.
 *
 *   npx tsx bench/tokenizers.ts [--vocabulary tokenizer.model] [--rounds N] [--json] [TEXT_FILE ...]
 *
 * The vocabulary is CRIA_LLAMA3_TOKENIZER, or a small one from the test fixtures; gpt-tokenizer (cl100k) and llama3-tokenizer-js
 * bring their own. Texts are UTF-8 files, by default the Shakespeare that lies with the project.
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { report } from './interleave.ts';
import { LineProcess } from './line-process.ts';
import { machine, renderMachine } from './machine.ts';
import { peerScript, peersPython } from './peers/python.ts';
import { writeHfTokenizer } from '../src/tokenizer/hf-write.ts';
import { llama3Tokenizer } from '../src/tokenizer/llama3-tokenizer.ts';
import { readTiktokenRanks } from '../src/tokenizer/tiktoken-file.ts';

const ROOT = join(import.meta.dirname, '..');
const JS_PEERS = ['gpt-tokenizer', 'llama3-tokenizer-js'];
// Contenders that load the same vocabulary.
const SAME_VOCABULARY = ['tiktoken', 'tokenizers'];
const SECONDS_A_TURN = 0.5;
const RUN_CHARS = 1_000_000;
// tiktoken's pattern engine overflows its stack on a megabyte of spaces, so runs are measured on cria alone.
const RUNS = ['a', ' ', '_', '\n', '0', '\u5b57', '\u00a0', '\u{1f600}'];

type Answer = { seconds: number; first: number; tokens: number; digest: string };
type TextResult = {
  text: string;
  bytes: number;
  secondsBy: Record<string, number>;
  firstBy: Record<string, number>;
  freshSeconds: number;
  others: string[];
};
type LoadResult = { seconds: number; mib: number };
type RunResult = { character: string; seconds: number; tokens: number };

async function measureTexts(
  contenders: ReadonlyMap<string, LineProcess>,
  files: readonly string[],
  rounds: number,
): Promise<TextResult[]> {
  const results: TextResult[] = [];
  for (const file of files) {
    const secondsBy: Record<string, number> = {};
    const firstBy: Record<string, number> = {}; // with what was remembered of the texts before only
    const digests = new Map<string, string>();
    for (let round = 0; round < rounds; round++) {
      for (const [name, contender] of contenders) {
        const answer = await contender.ask<Answer>(JSON.stringify({ encode: file, seconds: SECONDS_A_TURN }));
        secondsBy[name] = Math.min(secondsBy[name] ?? Infinity, answer.seconds);
        firstBy[name] ??= answer.first;
        digests.set(name, answer.digest);
      }
    }
    let freshSeconds = Infinity;
    for (let round = 0; round < rounds; round++) {
      const { seconds } = await contenders.get('cria')!.ask<{ seconds: number }>(JSON.stringify({ fresh: file }));
      freshSeconds = Math.min(freshSeconds, seconds);
    }
    const others = SAME_VOCABULARY.filter((name) => digests.get(name) !== digests.get('cria'));
    results.push({ text: basename(file), bytes: statSync(file).size, secondsBy, firstBy, freshSeconds, others });
  }
  return results;
}

async function measureRuns(cria: LineProcess): Promise<RunResult[]> {
  const folder = mkdtempSync(join(tmpdir(), 'cria-bench-'));
  const results: RunResult[] = [];
  try {
    for (const character of RUNS) {
      const file = join(folder, 'run.txt');
      // Each run has a name of its own, because contenders keep the texts they have read.
      const named = `${file}.${character.codePointAt(0)!}`;
      writeFileSync(named, character.repeat(Math.floor(RUN_CHARS / Buffer.byteLength(character))));
      const { seconds, tokens } = await cria.ask<Answer>(JSON.stringify({ encode: named, seconds: 0 }));
      results.push({ character: `U+${character.codePointAt(0)!.toString(16).padStart(4, '0')}`, seconds, tokens });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return results;
}

function render(loads: Record<string, LoadResult>, texts: readonly TextResult[], runs: readonly RunResult[]): string[] {
  const lines = [renderMachine(machine()), ''];
  for (const [name, { seconds, mib }] of Object.entries(loads)) {
    lines.push(
      `${name.padEnd(20)} loads in ${(seconds * 1000).toFixed(0).padStart(4)} ms, ${mib.toFixed(0).padStart(4)} MiB`,
    );
  }
  for (const { text, bytes, secondsBy, firstBy, freshSeconds, others } of texts) {
    const verdict =
      others.length === 0
        ? `the same tokens as ${SAME_VOCABULARY.join(' and ')}`
        : `OTHER TOKENS THAN ${others.join()}`;
    lines.push('', `${text}: ${verdict}`);
    for (const [name, seconds] of Object.entries(secondsBy)) {
      const ratio = name === 'cria' ? '' : `   cria is ${(seconds / secondsBy['cria']!).toFixed(2)} x as fast`;
      const first = `${(bytes / firstBy[name]! / 1e6).toFixed(1).padStart(6)} MB/s when first seen`;
      lines.push(`${name.padEnd(20)} ${(bytes / seconds / 1e6).toFixed(1).padStart(6)} MB/s, ${first}${ratio}`);
    }
    lines.push(`cria, just loaded    ${(bytes / freshSeconds / 1e6).toFixed(1).padStart(6)} MB/s in a process at work`);
  }
  lines.push('', '1 MB of one character, cria:');
  for (const { character, seconds, tokens } of runs) {
    lines.push(`${character.padEnd(8)} ${(seconds * 1000).toFixed(0).padStart(5)} ms, ${tokens} tokens`);
  }
  return lines;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    vocabulary: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
const vocabulary =
  values.vocabulary ??
  process.env['CRIA_LLAMA3_TOKENIZER'] ??
  join(ROOT, 'test/fixtures/tokenizer/vocabulary/tokenizer.model');
readFileSync(vocabulary); // warms the file cache for all
const script = join(import.meta.dirname, 'tokenizer-contender.ts');
const contenders = new Map<string, LineProcess>();
for (const name of ['cria', ...JS_PEERS]) {
  contenders.set(name, new LineProcess(name, process.execPath, ['--import', 'tsx', script, name]));
}
for (const name of SAME_VOCABULARY) {
  contenders.set(name, new LineProcess(name, peersPython(), [peerScript('tokenizer_speed.py'), name]));
}
const folder = mkdtempSync(join(tmpdir(), 'cria-bench-'));
const hfFile = join(folder, 'tokenizer.json');
const special = ['<|begin_of_text|>'];
writeFileSync(
  hfFile,
  writeHfTokenizer(llama3Tokenizer(readTiktokenRanks(readFileSync(vocabulary)), special)).tokenizerJson,
);
const loads: Record<string, LoadResult> = {};
for (const [name, contender] of contenders) {
  loads[name] = await contender.ask<LoadResult>(JSON.stringify({ load: name === 'tokenizers' ? hfFile : vocabulary }));
}
rmSync(folder, { recursive: true });
const files = positionals.length > 0 ? positionals : [join(ROOT, 'data/shakespeare.txt')];
const texts = await measureTexts(contenders, files, Number(values.rounds));
const runs = await measureRuns(contenders.get('cria')!);
for (const contender of contenders.values()) await contender.close();
report(values.json, { machine: machine(), loads, texts, runs }, () => render(loads, texts, runs));
