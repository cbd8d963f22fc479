/**
 * What guessing tokens ahead saves: the same replies with and without it, in turn. Texts must be equal, token by token.
 *
 *   npx tsx bench/speculation.ts --model SmolLM2-135M-Instruct.Q4_1.gguf [--draft OTHER_MODEL] [--draft-tokens 4,8] [--rounds N] [--tokens N] [--json]
 */
import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import { openCheckpoint } from '../src/formats/open-checkpoint.ts';
import { Engine } from '../src/infer/engine.ts';
import { loadModel } from '../src/infer/model.ts';
import { assumedChatFormat, checkpointChatFormat, replyStopIds, requireTokenizer } from '../src/infer/model-files.ts';
import { ModelDrafter } from '../src/infer/model-drafter.ts';
import { ModelRunner } from '../src/infer/model-runner.ts';
import { NgramDrafter } from '../src/infer/ngram-drafter.ts';
import type { Drafter } from '../src/infer/speculation.ts';
import { WEIGHT_TYPES } from '../src/infer/weight-type.ts';
import { openBackend } from '../src/runtime/open-backend.ts';
import { machine, renderMachine } from './machine.ts';

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string' },
    draft: { type: 'string' },
    precision: { type: 'string' },
    'draft-tokens': { type: 'string', default: '4,8' },
    tokens: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
});

const CODE = `class Stack {
  constructor() { this.items = []; }
  push(item) { this.items.push(item); }
  pop() { return this.items.pop(); }
  peek() { return this.items[this.items.length - 1]; }
  size() { return this.items.length; }
}`;
const PROMPTS: readonly (readonly [string, string])[] = [
  ['repeats its prompt', `Copy this code exactly, but rename the class to Pile:\n\n${CODE}`],
  ['ordinary prose', 'Explain in a few paragraphs why the sky is blue at noon and red in the evening.'],
];

const CONTEXT = 1024;
const backend = openBackend((line) => process.stderr.write(`${line}\n`));
const weightType = WEIGHT_TYPES.find((type) => type === flags.precision) ?? 'stored';

async function load(path: string, type: typeof weightType) {
  const checkpoint = await openCheckpoint(path);
  const tokenizer = await requireTokenizer(checkpoint);
  const format = (await checkpointChatFormat(checkpoint, tokenizer)) ?? (await assumedChatFormat(tokenizer));
  const stopIds = replyStopIds(checkpoint, tokenizer);
  const model = await loadModel(checkpoint, backend, {
    weightType: type,
    kvType: null,
    contextLength: CONTEXT,
    batch: 1,
  });
  await checkpoint.close();
  return { model, tokenizer, format, stopIds };
}

const { model, tokenizer, format, stopIds } = await load(flags.model!, weightType);
const draft = flags.draft === undefined ? null : (await load(flags.draft, 'stored')).model;
const drafters: [string, () => Drafter | null][] = [['none', () => null]];
for (const count of flags['draft-tokens'].split(',').map(Number)) {
  drafters.push([`n-gram, ${count}`, () => new NgramDrafter(count)]);
  if (draft) {
    const options = { maxDraftTokens: count, vocabSize: tokenizer.vocabSize };
    drafters.push([`draft model, ${count}`, () => new ModelDrafter(new ModelRunner(draft), options)]);
  }
}

const rows: Record<string, string | number>[] = [];
for (const [text, prompt] of PROMPTS) {
  const promptIds = format.encode([{ role: 'user', content: prompt }], { addGenerationPrompt: true });
  for (const [kind, sampling] of [
    ['greedy', { temperature: 0 }],
    ['temperature 0.6, top-p 0.9', { temperature: 0.6, topP: 0.9 }],
  ] as const) {
    const best = new Map<string, { tps: number; accepted: number; drafted: number; numTokens: number }>();
    let expected: readonly number[] | null = null;
    for (let round = 0; round < Number(flags.rounds); round++) {
      for (const [name, make] of drafters) {
        const engine = new Engine(new ModelRunner(model), tokenizer, { drafter: make() });
        const request = { promptIds, maxTokens: Number(flags.tokens), sampling, seed: 1, stopIds };
        await engine.generate(request).result; // compiles plans and fills the prefix cache
        const { ids, timings, speculation } = await engine.generate(request).result;
        expected ??= ids;
        assert.deepEqual(ids, expected);
        await engine.dispose();
        if (timings.decodeTps > (best.get(name)?.tps ?? 0)) {
          best.set(name, { tps: timings.decodeTps, ...speculation, numTokens: ids.length });
        }
      }
    }
    const plain = best.get('none')!.tps;
    for (const [name, { tps, accepted, drafted, numTokens }] of best) {
      rows.push({ text, sampling: kind, guesses: name, tokens: numTokens, drafted, accepted, tps, ratio: tps / plain });
    }
  }
}

if (flags.json) process.stdout.write(`${JSON.stringify({ machine: machine(), rows })}\n`);
else {
  process.stdout.write(`${renderMachine(machine())}\n`);
  for (const row of rows) {
    const cells = Object.values(row).map((cell) =>
      typeof cell === 'number' && !Number.isInteger(cell) ? cell.toFixed(2) : cell,
    );
    process.stdout.write(`| ${cells.join(' | ')} |\n`);
  }
}
