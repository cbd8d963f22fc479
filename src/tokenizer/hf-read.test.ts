import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readHfTokenizer } from './hf-read.ts';
import { writeHfTokenizer } from './hf-write.ts';
import { readTiktoken } from './tiktoken-file.ts';
import { readGgufTokenizer } from './gguf-vocab.ts';
import type { Tokenizer } from './tokenizer.ts';
import { FormatError } from '../util/errors.ts';
import { hostileTexts } from '../../test/fixtures/tokenizer/hostile-texts.ts';

const FIXTURES = join(import.meta.dirname, '../../test/fixtures/tokenizer');
const fixture = (name: string) => readFileSync(join(FIXTURES, name), 'utf8');
const llama3 = fixture('llama3-like.json');

/** The Llama 3 fixture with the value at a path of the JSON replaced. */
function changed(path: string, value: unknown): string {
  const json: unknown = JSON.parse(llama3);
  const keys = path.split('/');
  let parent = json as Record<string, unknown>;
  for (const key of keys.slice(0, -1)) parent = parent[key] as Record<string, unknown>;
  parent[keys.at(-1)!] = value;
  return JSON.stringify(json);
}

const SPLIT = 'pre_tokenizer/pretokenizers/0';
const TEMPLATE = 'post_processor/processors/1';
const sequence = { Sequence: { id: 'A' } };

// What is put where, and the place the error names.
const REFUSED: readonly [string, unknown, string][] = [
  ['model/type', 'Unigram', 'model.type'],
  ['model/dropout', 0.1, 'model.dropout'],
  ['model/end_of_word_suffix', '</w>', 'model.end_of_word_suffix'],
  ['model/vocab/!', -1, 'model.vocab["!"]'],
  ['model/vocab/!', 1e12, 'model.vocab["!"]'],
  ['model/vocab/newcomer', 0, 'model.vocab["newcomer"]'],
  ['model/vocab', undefined, 'model.vocab'],
  ['model/merges/0', 'ab', 'model.merges.0'],
  ['model/merges/1', ['absent', 'b'], 'model.merges.1'],
  ['model/merges', {}, 'model.merges'],
  ['normalizer', { type: 'NFC' }, 'normalizer.type'],
  ['pre_tokenizer/pretokenizers/1/type', 'Digits', 'pre_tokenizer.pretokenizers.1'],
  ['pre_tokenizer/pretokenizers/1/add_prefix_space', true, 'pre_tokenizer.pretokenizers.1.add_prefix_space'],
  [`${SPLIT}/type`, 'Punctuation', 'pre_tokenizer.pretokenizers.0.type'],
  [`${SPLIT}/behavior`, 'Contiguous', 'pre_tokenizer.pretokenizers.0.behavior'],
  [`${SPLIT}/pattern`, { Regex: '\\bx' }, 'pre_tokenizer.pretokenizers.0.pattern'],
  [`${SPLIT}/pattern`, { Regex: 'x)' }, 'pre_tokenizer.pretokenizers.0.pattern'],
  [`${SPLIT}/pattern`, { Regex: '(x' }, 'pre_tokenizer.pretokenizers.0.pattern'],
  ['post_processor', { type: 'BertProcessing' }, 'post_processor.type'],
  [`${TEMPLATE}/single`, [sequence, sequence, sequence], 'post_processor.processors.1.single'],
  [`${TEMPLATE}/special_tokens`, {}, 'post_processor.processors.1.special_tokens'],
  ['added_tokens/0/single_word', true, 'added_tokens.0.single_word'],
  ['added_tokens/0/id', 5, 'added_tokens.0.id'],
  ['added_tokens/0/id', 1e9, 'added_tokens.0.id'],
  ['added_tokens/0/content', '', 'added_tokens.0.content'],
];

test('names the place in the JSON of what it cannot read', () => {
  readHfTokenizer({ tokenizerJson: llama3 });
  for (const [path, value, place] of REFUSED) {
    assert.throws(
      () => readHfTokenizer({ tokenizerJson: changed(path, value) }),
      (error) => error instanceof FormatError && error.message.includes(`tokenizer.json: ${place}`),
      place,
    );
  }
  assert.throws(() => readHfTokenizer({ tokenizerJson: '{"model":' }), /tokenizer.json is not JSON/);
  assert.throws(() => readHfTokenizer({ tokenizerJson: '[]' }), FormatError);
  assert.throws(
    () => readHfTokenizer({ tokenizerJson: llama3, tokenizerConfigJson: '{"bos_token": 3}' }),
    /tokenizer_config.json: bos_token/,
  );
});

test('reads merges as pairs and as strings alike', () => {
  const { model } = JSON.parse(llama3) as { model: { merges: string[][] } };
  const strings = changed(
    'model/merges',
    model.merges.map((pair) => pair.join(' ')),
  );
  const [pairs, joined] = [llama3, strings].map((tokenizerJson) => readHfTokenizer({ tokenizerJson }));
  for (const text of hostileTexts(200, 3)) assert.deepEqual(joined!.encode(text), pairs!.encode(text));
});

test('takes white space into added tokens that ask for it, and prefers the longest', () => {
  const tokenizer = readHfTokenizer({ tokenizerJson: llama3 });
  const id = (content: string) => tokenizer.addedTokens.find((token) => token.content === content)!.id;
  const special = { allowSpecial: true };
  const around = (inner: number) => [...tokenizer.encode('a'), inner, ...tokenizer.encode('b')];
  assert.deepEqual(tokenizer.encode('a \n<|wide|>\u3000 b', special), around(id('<|wide|>')));
  assert.deepEqual(tokenizer.encode('a XMLb'), around(id('XML')));
  assert.deepEqual(tokenizer.encode('a日本 b'), around(id('日本')));
  assert.deepEqual(tokenizer.encode('@names'), [id('@name'), ...tokenizer.encode('s')]);
  assert.deepEqual(tokenizer.encode('<|wide|> <|wide|>', special), [id('<|wide|>'), id('<|wide|>')]);
});

test('learns from the companion files which tokens begin, end and pad', () => {
  const tokenizer = readHfTokenizer({
    tokenizerJson: llama3,
    tokenizerConfigJson: JSON.stringify({
      eos_token: { content: '<|eot_id|>' },
      tokenizer_class: 'PreTrainedTokenizerFast',
      add_bos_token: false,
    }),
    specialTokensMapJson: JSON.stringify({ bos_token: '<|begin_of_text|>', pad_token: '<|end_of_text|>' }),
    generationConfigJson: '{"eos_token_id": 5}',
  });
  const id = (name: string) => tokenizer.idOf(name);
  assert.deepEqual(tokenizer.roles, {
    bosId: id('<|begin_of_text|>'),
    eosId: id('<|eot_id|>'),
    padId: id('<|end_of_text|>'),
    stopIds: [id('<|eot_id|>'), 5, id('<|end_of_text|>')],
    addsBos: true, // the template says so; add_bos_token counts for Llama classes only
    addsEos: false,
  });
});

function sameTokenizer(given: Tokenizer, expected: Tokenizer): void {
  for (const text of hostileTexts(400, 5)) {
    const ids = expected.encode(text, { allowSpecial: true });
    assert.deepEqual(given.encode(text, { allowSpecial: true }), ids);
    assert.deepEqual(given.decode(ids), expected.decode(ids));
  }
  assert.deepEqual(given.roles, expected.roles);
  assert.equal(given.vocabSize, expected.vocabSize);
}

test('is the same tokenizer after writing and reading, whatever it came from', () => {
  const sentencePiece = JSON.parse(fixture('sentencepiece-like.json')) as Record<string, unknown>;
  const tokenizers = [
    readTiktoken(readFileSync(join(FIXTURES, 'vocabulary/tokenizer.model')), fixture('vocabulary/special_tokens.json')),
    readHfTokenizer({ tokenizerJson: llama3 }),
    readHfTokenizer({ tokenizerJson: fixture('smollm-like.json') }),
    readGgufTokenizer((key) => sentencePiece[key]),
  ];
  for (const tokenizer of tokenizers) {
    sameTokenizer(readHfTokenizer(writeHfTokenizer(tokenizer)), tokenizer);
    assert.deepEqual(writeHfTokenizer(tokenizer), writeHfTokenizer(tokenizer));
  }
});

function vocabOf(tokenizer: Tokenizer): Record<string, number> {
  const { tokenizerJson } = writeHfTokenizer(tokenizer);
  return (JSON.parse(tokenizerJson) as { model: { vocab: Record<string, number> } }).model.vocab;
}

test('writes added tokens into the vocabulary where Hugging Face would number them otherwise', () => {
  const smollm = readHfTokenizer({ tokenizerJson: fixture('smollm-like.json') });
  const [name, id] = [...smollm.specialTokens][0]!;
  assert.equal(id, 0);
  assert.equal(vocabOf(smollm)[name], 0);
  // Behind the ranks, in order: as Meta's vocabulary is published.
  const folder = join(FIXTURES, 'vocabulary');
  const trained = readTiktoken(
    readFileSync(join(folder, 'tokenizer.model')),
    fixture('vocabulary/special_tokens.json'),
  );
  assert.equal(vocabOf(trained)['<|begin_of_text|>'], undefined);
});
