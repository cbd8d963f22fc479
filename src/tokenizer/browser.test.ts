/** The tokenizer in a browser: bundled as a page would be, run where there is nothing of Node. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createContext, runInContext } from 'node:vm';
import { build, type Rollup } from 'vite';
import * as here from '../../test/fixtures/tokenizer/browser-entry.ts';
import { hostileTexts } from '../../test/fixtures/tokenizer/hostile-texts.ts';

const FIXTURES = join(import.meta.dirname, '../../test/fixtures/tokenizer');
const fixture = (name: string) => readFileSync(join(FIXTURES, name), 'utf8');
/** What the tokenizer may use beside the language itself. */
const WEB = { TextEncoder, TextDecoder, performance };

async function bundled(): Promise<string> {
  const lib = { entry: join(FIXTURES, 'browser-entry.ts'), formats: ['iife'], name: 'tokenizer' } as const;
  const options = { write: false, minify: false, lib: { ...lib, formats: [...lib.formats] } };
  const built = await build({ configFile: false, logLevel: 'silent', build: options });
  const [{ output }] = built as [Rollup.RollupOutput];
  return output[0].code;
}

test('gives the same ids in a browser, whatever the format of the vocabulary', async () => {
  const code = await bundled();
  assert.doesNotMatch(code, /["']node:|__vite-browser-external/);
  const page = createContext({ ...WEB });
  const there = runInContext(`${code}; tokenizer`, page) as typeof here;
  const json = fixture('smollm-like.json');
  const template = fixture('chat/llama3.1.jinja');
  const results = [here, there].map((library) => {
    const tiktoken = library.readTiktoken(
      new Uint8Array(readFileSync(join(FIXTURES, 'vocabulary/tokenizer.model'))),
      fixture('vocabulary/special_tokens.json'),
    );
    const hf = library.readHfTokenizer({ tokenizerJson: json });
    const metadata = JSON.parse(fixture('sentencepiece-like.json')) as Record<string, unknown>;
    const gguf = library.readGgufTokenizer((key) => metadata[key]);
    const trained = library.trainBpe([fixture('llama3-like.json').slice(0, 20_000)], { vocabSize: 600 });
    const texts = [...hostileTexts(60, 12)];
    const ids = [tiktoken, hf, gguf, trained].map((tokenizer) => texts.map((text) => tokenizer.encode(text)));
    const chats = [library.llama3ChatFormat(tiktoken, 'llama3.1'), library.templateChatFormat(tiktoken, template)];
    return JSON.stringify([ids, chats.map((chat) => chat.encode([{ role: 'user', content: texts.join('') }]))]);
  });
  assert.equal(results[1], results[0]);
});
