/** Token ids against other people's tokenizers, on texts drawn to hurt; made by bench/peers/tokenizer_fixtures.py. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readGgufTokenizer } from './gguf-vocab.ts';
import { readHfTokenizer } from './hf-read.ts';
import { namedPreTokenizer, preTokenizerOf, type PreTokenizer } from './pre-tokenizer.ts';
import { readMetaTokenizer, readTiktoken } from './tiktoken-file.ts';
import { Tokenizer } from './tokenizer.ts';
import { digestBlocks } from '../../test/fixtures/tokenizer/digest-ids.ts';
import { hostileTexts } from '../../test/fixtures/tokenizer/hostile-texts.ts';

const FIXTURES = join(import.meta.dirname, '../../test/fixtures/tokenizer');
const fixture = (name: string) => readFileSync(join(FIXTURES, name), 'utf8');

const trained = readTiktoken(
  readFileSync(join(FIXTURES, 'vocabulary/tokenizer.model')),
  fixture('vocabulary/special_tokens.json'),
);

function withPreTokenizer(preTokenizer: PreTokenizer): Tokenizer {
  const { model, addedTokens, roles } = trained;
  assert.ok(model.text.kind === 'byte-level');
  return new Tokenizer({ ...model, text: { ...model.text, preTokenizer } }, addedTokens, roles);
}

const tiktoken = JSON.parse(fixture('tiktoken-answers.json')) as {
  texts: Record<string, number>;
  digests: Record<string, string[]>;
};
for (const name of ['llama3', 'gpt2', 'qwen2'] as const) {
  test(`gives tiktoken's ids with the ${name} pattern`, () => {
    const tokenizer = withPreTokenizer(namedPreTokenizer(name));
    const digests = digestBlocks(hostileTexts(tiktoken.texts[name]!), (text) => tokenizer.encode(text));
    assert.deepEqual(digests, tiktoken.digests[name]);
  });
}

test('gives the same ids with a pattern it has no scanner for', () => {
  const { stages } = namedPreTokenizer('llama3');
  const rewritten = stages.map(({ pattern, where }) => ({ pattern: `(?:${pattern})`, dropsUnmatched: false, where }));
  const preTokenizer = preTokenizerOf(rewritten);
  assert.equal(preTokenizer.name, null);
  const tokenizer = withPreTokenizer(preTokenizer);
  for (const text of hostileTexts(600, 99)) assert.deepEqual(tokenizer.encode(text), trained.encode(text));
});

const hf = JSON.parse(fixture('hf-answers.json')) as { texts: number; digests: Record<string, string[]> };
for (const name of ['smollm-like', 'llama3-like']) {
  test(`gives the ids of Hugging Face tokenizers for ${name}.json`, () => {
    const tokenizer = readHfTokenizer({ tokenizerJson: fixture(`${name}.json`) });
    const digests = digestBlocks(hostileTexts(hf.texts), (text) => tokenizer.encode(text));
    assert.deepEqual(digests, hf.digests[name]);
  });

  test(`gives the ids of Hugging Face tokenizers for ${name}.json with special tokens and frame`, () => {
    const tokenizer = readHfTokenizer({ tokenizerJson: fixture(`${name}.json`) });
    const { addsBos, addsEos } = tokenizer.roles;
    const digests = digestBlocks(hostileTexts(hf.texts), (text) =>
      tokenizer.encode(text, { allowSpecial: true, bos: addsBos, eos: addsEos }),
    );
    assert.deepEqual(digests, hf.digests[`${name} with special tokens`]);
  });
}

test("gives SentencePiece's ids for a vocabulary of Llama 2's kind", () => {
  const metadata = JSON.parse(fixture('sentencepiece-like.json')) as Record<string, unknown>;
  const answers = JSON.parse(fixture('sentencepiece-answers.json')) as { texts: number; digests: string[] };
  const tokenizer = readGgufTokenizer((key) => metadata[key]);
  assert.deepEqual(
    digestBlocks(hostileTexts(answers.texts), (text) => tokenizer.encode(text)),
    answers.digests,
  );
});

const LLAMA3_FILE = process.env['CRIA_LLAMA3_TOKENIZER'];
const needsLlama3 = {
  skip: LLAMA3_FILE === undefined && "skipped: CRIA_LLAMA3_TOKENIZER does not name Meta's tokenizer.model",
};

test("gives tiktoken's ids with Meta's vocabulary", needsLlama3, () => {
  const answers = JSON.parse(fixture('llama3-answers.json')) as { texts: number; digests: string[] };
  const tokenizer = readMetaTokenizer(readFileSync(LLAMA3_FILE!));
  assert.deepEqual(
    digestBlocks(hostileTexts(answers.texts), (text) => tokenizer.encode(text)),
    answers.digests,
  );
});

// meta-llama/llama3 llama/test_tokenizer.py; meta-llama/llama-models models/llama3/tests; ggml-org/llama.cpp ggml-vocab-llama-bpe;
// belladoreai/llama3-tokenizer-js defaultTests; the last lines are tiktoken's.
const PUBLISHED: readonly [string, readonly number[]][] = [
  ['This is a test sentence.', [2028, 374, 264, 1296, 11914, 13]],
  ['hello world', [15339, 1917]],
  ['user', [882]],
  ['system', [9125]],
  ['assistant', [78191]],
  ['\n\n', [271]],
  ['ied 4 ½ months', [1142, 220, 19, 220, 27154, 4038]],
  ['Führer', [37, 51853, 261]],
  [' Hello', [22691]],
  ['    Hello\n    Hello', [262, 22691, 198, 262, 22691]],
  ['\n =', [198, 284]],
  ["' era", [6, 11639]],
  [' Việt', [101798]],
  ['333333333', [8765, 8765, 8765]],
  ['w048 7tuijk dsdfhu', [86, 23904, 220, 22, 83, 2005, 42908, 11729, 3013, 17156]],
  ['нещо на Български', [79862, 102118, 13373, 64571, 34694, 3114, 112203, 80112]],
  ['grabbed', [59312, 2788]],
  ['镇', [104643]],
  ['🦙', [9468, 99, 247]],
  ['\ufeffhello world', [3305, 15339, 1917]],
  ['a\u0085b', [64, 116360, 65]],
  ['a \u0085 b', [64, 2188, 227, 293]],
  [' \u001c \u001dz', [220, 216, 220, 217, 89]],
  ['١٢٣٤', [109610, 110546, 117413, 124079]],
  ['\u200b\u200d', [16067, 102470]],
  ["IT'S", [964, 13575]],
  ['\ud800', [5809]],
];

test("gives the ids that Meta's and others' tests publish", needsLlama3, () => {
  const tokenizer = readMetaTokenizer(readFileSync(LLAMA3_FILE!));
  for (const [text, ids] of PUBLISHED) assert.deepEqual(tokenizer.encode(text), ids, JSON.stringify(text));
  assert.equal(tokenizer.vocabSize, 128_256);
  assert.deepEqual(
    [
      tokenizer.bosId,
      tokenizer.eosId,
      tokenizer.idOf('<|eom_id|>'),
      tokenizer.idOf('<|eot_id|>'),
      tokenizer.idOf('<|python_tag|>'),
    ],
    [128_000, 128_001, 128_008, 128_009, 128_010],
  );
  assert.equal(tokenizer.idOf('<|start_header_id|>'), 128_006);
});
