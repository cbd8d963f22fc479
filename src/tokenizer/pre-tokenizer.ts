/**
 * The ways of cutting text into pieces that are known by name, each with its scanner and the expressions the scanner stands for;
 * any other sequence of expressions is matched as it is, more slowly.
 */
import type { Splitter } from './byte-pair-encoder.ts';
import { regExpSplitter, type RunBounded, type SplitStage } from './regexp-splitter.ts';
import { scanGpt2, scanGpt2SingleDigits } from './scan-gpt2.ts';
import { scanLlama3, scanQwen2 } from './scan-llama3.ts';
import type { Scanner } from './scanner.ts';

export type PreTokenizerName = 'llama3' | 'gpt2' | 'smollm' | 'qwen2';

export type PreTokenizer = {
  /** Null for a sequence of expressions without a name. */
  name: PreTokenizerName | null;
  stages: readonly SplitStage[];
  splitter: Splitter;
};

// meta-llama/llama3 llama/tokenizer.py pat_str
const LLAMA3_PATTERN = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
// Qwen/Qwen2 tokenizer.json pre_tokenizer
const QWEN2_PATTERN = LLAMA3_PATTERN.replace(String.raw`\p{N}{1,3}`, String.raw`\p{N}`);
/** openai/gpt-2 src/encoder.py; what Hugging Face's ByteLevel matches if `use_regex` is set. */
export const GPT2_PATTERN = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;
/** What Hugging Face's Digits matches if `individual_digits` is set. */
export const SINGLE_DIGIT_PATTERN = String.raw`\p{N}`;

const KNOWN: Record<PreTokenizerName, { patterns: readonly string[]; scan: Scanner }> = {
  llama3: { patterns: [LLAMA3_PATTERN], scan: scanLlama3 },
  gpt2: { patterns: [GPT2_PATTERN], scan: scanGpt2 },
  smollm: { patterns: [SINGLE_DIGIT_PATTERN, GPT2_PATTERN], scan: scanGpt2SingleDigits },
  qwen2: { patterns: [QWEN2_PATTERN], scan: scanQwen2 },
};

/** The pre-tokenizer of a name. */
export function namedPreTokenizer(name: PreTokenizerName): PreTokenizer {
  const { patterns, scan } = KNOWN[name];
  const stages = patterns.map((pattern) => ({ pattern, dropsUnmatched: false, where: name }));
  return { name, stages, splitter: { scan } };
}

/** The pre-tokenizer that applies these expressions one after another: by a scanner if they are known, else as they are. */
export function preTokenizerOf(stages: readonly SplitStage[], runBounded?: RunBounded): PreTokenizer {
  for (const name of Object.keys(KNOWN) as PreTokenizerName[]) {
    const { patterns, scan } = KNOWN[name];
    // The known expressions match all of a text, so nothing is unmatched.
    const isSame = stages.length === patterns.length && stages.every(({ pattern }, i) => pattern === patterns[i]);
    const keepsAll = stages.every(({ dropsUnmatched }, i) => !dropsUnmatched || i === stages.length - 1);
    if (isSame && keepsAll) return { name, stages, splitter: { scan } };
  }
  return { name: null, stages, splitter: { split: regExpSplitter(stages, runBounded) } };
}
