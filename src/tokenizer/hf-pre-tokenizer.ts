/**
 * `pre_tokenizer` of Hugging Face's tokenizer.json, from and to the expressions it stands for (byte-level tokenizers only).
 */
import { z } from 'zod';
import { checkPart, unsupported, type TypedJson } from './hf-schema.ts';
import { GPT2_PATTERN, preTokenizerOf, SINGLE_DIGIT_PATTERN, type PreTokenizer } from './pre-tokenizer.ts';
import type { RunBounded, SplitStage } from './regexp-splitter.ts';

const byteLevel = z.object({ add_prefix_space: z.boolean().default(true), use_regex: z.boolean().default(true) });
const digits = z.object({ individual_digits: z.boolean().default(false) });
const split = z.object({
  pattern: z.union([z.object({ Regex: z.string() }), z.object({ String: z.string() })]),
  behavior: z.string(),
  invert: z.boolean().default(false),
});
const sequence = z.object({ pretokenizers: z.array(z.looseObject({ type: z.string() })) });

/** Pre-tokenizer of the JSON; null if it does not turn text into bytes, as in Llama 2's tokenizers. */
export function readPreTokenizer(json: TypedJson | null | undefined, runBounded?: RunBounded): PreTokenizer | null {
  if (json === null || json === undefined || json.type === 'Metaspace') return null;
  const parts =
    json.type === 'Sequence'
      ? checkPart(sequence, json, 'pre_tokenizer').pretokenizers.map((part, i) => ({
          part,
          path: `pre_tokenizer.pretokenizers.${i}`,
        }))
      : [{ part: json, path: 'pre_tokenizer' }];
  const last = parts.at(-1);
  if (last === undefined || last.part.type !== 'ByteLevel') {
    throw unsupported(last?.path ?? 'pre_tokenizer', `is ${last?.part.type ?? 'empty'} where ByteLevel must be last`);
  }
  return preTokenizerOf(
    parts.flatMap(({ part, path }) => readStage(part, path)),
    runBounded,
  );
}

function readStage(json: TypedJson, path: string): SplitStage[] {
  switch (json.type) {
    case 'ByteLevel': {
      const { add_prefix_space, use_regex } = checkPart(byteLevel, json, path);
      if (add_prefix_space) throw unsupported(`${path}.add_prefix_space`, 'is true');
      return use_regex ? [{ pattern: GPT2_PATTERN, dropsUnmatched: false, where: path }] : [];
    }
    case 'Digits': {
      const { individual_digits } = checkPart(digits, json, path);
      const pattern = individual_digits ? SINGLE_DIGIT_PATTERN : `${SINGLE_DIGIT_PATTERN}+`;
      return [{ pattern, dropsUnmatched: false, where: path }];
    }
    case 'Split':
      return [readSplit(json, path)];
    default:
      throw unsupported(`${path}.type`, `is ${JSON.stringify(json.type)}`);
  }
}

function readSplit(json: TypedJson, path: string): SplitStage {
  const { pattern, behavior, invert } = checkPart(split, json, path);
  const keepsMatchesOnly = behavior === 'Removed' && invert;
  if (behavior !== 'Isolated' && !keepsMatchesOnly) {
    throw unsupported(`${path}.behavior`, `is ${JSON.stringify(behavior)}`);
  }
  const source =
    'Regex' in pattern ? pattern.Regex : pattern.String.replace(/[\\^$.*+?()[\]{}|]/g, (char) => `\\${char}`);
  return { pattern: source, dropsUnmatched: keepsMatchesOnly, where: `tokenizer.json: ${path}.pattern` };
}

/** JSON that stands for a pre-tokenizer. */
export function writePreTokenizer({ stages }: PreTokenizer): TypedJson {
  const endsInGpt2 = stages.at(-1)?.pattern === GPT2_PATTERN;
  const before = endsInGpt2 ? stages.slice(0, -1) : stages;
  const last = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: endsInGpt2 };
  if (before.length === 0) return last;
  return { type: 'Sequence', pretokenizers: [...before.map(writeStage), last] };
}

function writeStage({ pattern, dropsUnmatched }: SplitStage): TypedJson {
  if (pattern === SINGLE_DIGIT_PATTERN) return { type: 'Digits', individual_digits: true };
  return {
    type: 'Split',
    pattern: { Regex: pattern },
    behavior: dropsUnmatched ? 'Removed' : 'Isolated',
    invert: dropsUnmatched,
  };
}
