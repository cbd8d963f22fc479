/**
 * The flags that people and scripts rely on: adding some is free, taking one away breaks this test on purpose.
 */
import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import type { Command } from 'commander';
import { captureIo } from '../../test/run-command.ts';
import { buildProgram } from './main.ts';

const CONTRACT: Readonly<Record<string, readonly string[]>> = {
  'tokenizer encode': ['--tokenizer', '--jsonl', '--bos', '--eos', '--special', '--json'],
  'tokenizer decode': ['--tokenizer', '--jsonl', '--json'],
  'tokenizer train': ['--vocab-size', '--out', '--json'],
  'tokenizer inspect': ['--tokenizer', '--json'],
  logits: ['--model', '--ids', '--backend', '--precision', '--out'],
  generate: [
    '--model',
    '--prompt',
    '--chat',
    '--max-tokens',
    '--temperature',
    '--top-p',
    '--top-k',
    '--seed',
    '--json',
  ],
  chat: [],
  bench: ['--model', '--shape', '--quant', '--prompt-tokens', '--gen-tokens', '--concurrency', '--json'],
  perplexity: ['--model', '--file', '--context', '--json'],
  plan: ['--size', '--context', '--batch', '--kv', '--train', '--json'],
  pretrain: ['--recipe', '--config', '--set', '--out', '--resume', '--dry-run', '--json'],
  inspect: ['--json'],
  convert: ['--model', '--to', '--type', '--out', '--json'],
  merge: ['--model', '--adapter', '--out', '--json'],
  pull: ['--json'],
  list: ['--json'],
  remove: ['--json'],
  serve: ['--host', '--port', '--api-key-file'],
  start: [],
};

function find(program: Command, path: string): Command {
  return path.split(' ').reduce((command, name) => {
    const found = command.commands.find((child) => child.name() === name);
    assert.ok(found, `there is no command ${path}`);
    return found;
  }, program);
}

describe('the command line contract', () => {
  const program = buildProgram(captureIo().io);
  for (const [path, flags] of Object.entries(CONTRACT)) {
    it(`keeps the flags of cria ${path}`, () => {
      const known = new Set(find(program, path).options.map(({ long }) => long));
      for (const flag of flags) assert.ok(known.has(flag), `cria ${path} has lost ${flag}`);
    });
  }
});
