import { strict as assert } from 'node:assert';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runCommand } from '../../test/run-command.ts';

const folder = mkdtempSync(join(tmpdir(), 'cria-tokenizer-'));
const trained = join(folder, 'trained');
after(() => rmSync(folder, { recursive: true }));

async function json(...args: string[]): Promise<unknown> {
  const { status, out, err } = await runCommand(['tokenizer', ...args, '--json']);
  assert.equal(status, 0, err);
  return JSON.parse(out);
}

before(async () => {
  writeFileSync(join(folder, 'text.txt'), 'the theory of the thing '.repeat(20));
  const report = (await json('train', '--vocab-size', '270', '--out', trained, join(folder, 'text.txt'))) as object;
  assert.deepEqual({ ...report, seconds: 0 }, { out: trained, vocab_size: 270, bytes: 480, seconds: 0 });
});

describe('cria tokenizer', () => {
  it('encodes and decodes, from arguments and from stdin', async () => {
    const { ids } = (await json('encode', '--tokenizer', trained, 'the theory')) as { ids: number[] };
    assert.deepEqual(await json('decode', '--tokenizer', trained, ids.join(',')), { text: 'the theory' });
    const piped = await runCommand(['tokenizer', 'encode', '--tokenizer', trained], 'the theory');
    assert.equal(piped.out, `${ids.join(' ')}\n`);
    const decoded = await runCommand(
      ['tokenizer', 'decode', '--tokenizer', join(trained, 'tokenizer.model')],
      piped.out,
    );
    assert.equal(decoded.out, 'the theory\n');
  });

  it('adds and reads special tokens only when asked to', async () => {
    const { special_tokens: special } = (await json('inspect', '--tokenizer', trained)) as {
      special_tokens: Record<string, number>;
    };
    const [bos, eos] = [special['<|begin_of_text|>'], special['<|end_of_text|>']];
    assert.deepEqual(await json('encode', '--tokenizer', trained, '--bos', '--eos', ''), { ids: [bos, eos] });
    assert.deepEqual(await json('encode', '--tokenizer', trained, '--special', '<|end_of_text|>'), { ids: [eos] });
    const { ids } = (await json('encode', '--tokenizer', trained, '<|end_of_text|>')) as { ids: number[] };
    assert.ok(!ids.includes(eos!) && ids.length > 5);
    assert.deepEqual(await json('decode', '--tokenizer', trained, '--skip-special', `${bos}`, '116'), { text: 't' });
  });

  it('answers each line of a jsonl file with one line', async () => {
    const texts = ['a b', '', 'the\nthing', '\u6771'];
    const file = join(folder, 'in.jsonl');
    writeFileSync(file, texts.map((text) => JSON.stringify({ id: 7, text })).join('\n'));
    const encoded = await runCommand(['tokenizer', 'encode', '--tokenizer', trained, '--jsonl', file, '--json']);
    assert.equal(encoded.out.trimEnd().split('\n').length, texts.length);
    const back = await runCommand(['tokenizer', 'decode', '--tokenizer', trained, '--jsonl', '-'], encoded.out);
    assert.deepEqual(
      back.out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
      texts.map((text) => ({ text })),
    );
  });

  it('answers the lines before a bad one, then names it', async () => {
    const file = join(folder, 'half.jsonl');
    for (const [end, message] of [
      ['{"text":', /half\.jsonl: line 3 is not JSON/],
      ['{"ids":[1]}', /half\.jsonl: line 3 has no "text"/],
    ] as const) {
      writeFileSync(file, `{"text":"a"}\n{"text":"the"}\n${end}\n{"text":"after"}\n`);
      const { status, out, err } = await runCommand(['tokenizer', 'encode', '--tokenizer', trained, '--jsonl', file]);
      assert.equal(status, 1);
      assert.match(err, message);
      assert.equal(out.trimEnd().split('\n').length, 2);
      assert.deepEqual(JSON.parse(out.split('\n')[0]!), await json('encode', '--tokenizer', trained, 'a'));
    }
  });

  it('shows the tokens of a text with their bytes', async () => {
    const { tokens } = (await json('inspect', '--tokenizer', trained, 'the x')) as { tokens: { bytes: string }[] };
    assert.equal(Buffer.from(tokens.map(({ bytes }) => bytes).join(''), 'hex').toString(), 'the x');
    const plain = await runCommand(['tokenizer', 'inspect', '--tokenizer', trained]);
    assert.match(plain.out, /^270 tokens, 8 of them special:\n.*<\|begin_of_text\|>/);
  });

  it('says in one sentence what is wrong', async () => {
    const bad = join(folder, 'bad.jsonl');
    writeFileSync(bad, '{"text":"a"}\n{"ids":[1]}\n{');
    const binary = join(folder, 'binary.txt');
    writeFileSync(binary, readFileSync(process.execPath).subarray(0, 1000));
    for (const [args, status, message] of [
      [['encode', '--tokenizer', join(folder, 'none'), 'x'], 1, /none: does not exist/],
      [['encode', '--tokenizer', folder, 'x'], 1, /[Nn]o tokenizer/],
      [['encode', '--tokenizer', trained, '--jsonl', bad], 1, /line 2 has no "text"/],
      [['decode', '--tokenizer', trained, '--jsonl', bad], 1, /line 1 has no "ids"/],
      [['encode', '--tokenizer', trained, '--jsonl', join(folder, 'no.jsonl')], 1, /no\.jsonl: does not exist/],
      [['encode', '--tokenizer', trained, '--jsonl', folder], 1, /is a folder; give a file/],
      [['encode', '--tokenizer', trained, '--jsonl', bad, 'x'], 2, /either TEXT or --jsonl/],
      [['decode', '--tokenizer', trained, '1,x'], 2, /"x" is no token id/],
      [['decode', '--tokenizer', trained, '999'], 2, /999/],
      [['train', '--vocab-size', 'many', '--out', folder, bad], 2, /--vocab-size many/],
      [['train', '--vocab-size', '100', '--out', folder, bad], 2, /vocabSize is 100/],
      [['train', '--vocab-size', '300', '--out', folder, binary], 1, /binary\.txt: byte \d+ \(0x/],
      [['train', '--vocab-size', '300', binary], 2, /--out <folder>/],
    ] as const) {
      const result = await runCommand(['tokenizer', ...args]);
      assert.equal(result.status, status, result.err);
      assert.match(result.err, message);
      assert.equal(result.err.trimEnd().split('\n').length, 1);
    }
  });
});
