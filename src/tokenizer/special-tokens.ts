/**
 * Names and order of the special tokens of the Llama 3 family; ids follow the ranks of the vocabulary in this order.
 * Sources: meta-llama/llama3 llama/tokenizer.py (3.0), meta-llama/llama-models models/llama3/tokenizer.py (3.1 and later).
 */

export const BEGIN_OF_TEXT = '<|begin_of_text|>';
export const END_OF_TEXT = '<|end_of_text|>';
export const START_HEADER = '<|start_header_id|>';
export const END_HEADER = '<|end_header_id|>';
export const END_OF_MESSAGE = '<|eom_id|>';
export const END_OF_TURN = '<|eot_id|>';
export const PYTHON_TAG = '<|python_tag|>';
export const RIGHT_PAD = '<|finetune_right_pad_id|>';

/** Tokens after which generation ends, where a vocabulary has them: Llama 3's, then those of other Llama-architecture models. */
const STOP_TOKENS: readonly string[] = [
  END_OF_TEXT,
  END_OF_TURN,
  END_OF_MESSAGE,
  '<|im_end|>',
  '<|endoftext|>',
  '</s>',
];

/** Ids of the tokens that end generation by their name. */
export function knownStopIds(idByName: ReadonlyMap<string, number>): number[] {
  return STOP_TOKENS.map((name) => idByName.get(name)).filter((id) => id !== undefined);
}

const NUM_RESERVED = 256; // Llama 3 models have 256 special tokens, used or not

const reserved = (n: number) => `<|reserved_special_token_${n}|>`;
const reservedFrom = (first: number, count: number) => Array.from({ length: count }, (_, i) => reserved(first + i));

const LLAMA3_NAMED = [
  BEGIN_OF_TEXT,
  END_OF_TEXT,
  ...reservedFrom(0, 4),
  START_HEADER,
  END_HEADER,
  reserved(4),
  END_OF_TURN,
];

const LLAMA31_NAMED = [
  BEGIN_OF_TEXT,
  END_OF_TEXT,
  ...reservedFrom(0, 2),
  RIGHT_PAD,
  '<|step_id|>',
  START_HEADER,
  END_HEADER,
  END_OF_MESSAGE,
  END_OF_TURN,
  PYTHON_TAG,
  '<|image|>',
];

/** The 256 special tokens of Llama 3.0. */
export const LLAMA3_SPECIAL_TOKENS: readonly string[] = [
  ...LLAMA3_NAMED,
  ...reservedFrom(5, NUM_RESERVED - LLAMA3_NAMED.length),
];

/** The 256 special tokens of Llama 3.1 and later. */
export const LLAMA31_SPECIAL_TOKENS: readonly string[] = [
  ...LLAMA31_NAMED,
  ...reservedFrom(2, NUM_RESERVED - LLAMA31_NAMED.length),
];

/** The special tokens of a vocabulary trained here: Llama 3.1's names and order without the reserved ones. */
export const TRAINED_SPECIAL_TOKENS: readonly string[] = [
  BEGIN_OF_TEXT,
  END_OF_TEXT,
  RIGHT_PAD,
  START_HEADER,
  END_HEADER,
  END_OF_MESSAGE,
  END_OF_TURN,
  PYTHON_TAG,
];
