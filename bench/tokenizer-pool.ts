/**
 * Many texts at once: a tokenizer on one thread and on several (openTokenizerPool), in turn. The texts are those of a file of JSON lines with
 * a `text` each, so many times over.
 *
 *   npx tsx bench/tokenizer-pool.ts --tokenizer PATH [--threads N] [--copies 60] [--rounds 3] [--json] FILE.jsonl
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { openTokenizerPool } from '../src/formats/tokenizer-pool.ts';
import { interleave, renderTimings, report, timed } from './interleave.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tokenizer: { type: 'string' },
    threads: { type: 'string', default: String(availableParallelism()) },
    copies: { type: 'string', default: '60' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
});
const lines = readFileSync(positionals[0]!, 'utf8').trimEnd().split('\n');
const once = lines.map((line) => (JSON.parse(line) as { text: string }).text);
const texts = Array.from({ length: Number(values.copies) }, () => once).flat();
const megabytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / 1e6;
const pool = await openTokenizerPool(values.tokenizer!, Number(values.threads));
const timings = await interleave(
  [
    { name: `${values.threads} threads`, measure: () => timed(() => pool.encode(texts)) },
    { name: 'one thread', measure: () => timed(() => texts.map((text) => pool.tokenizer.encodeToUint32(text))) },
  ],
  { rounds: Number(values.rounds) },
);
await pool.close();
report(values.json, { texts: texts.length, megabytes, timings }, () => [
  `${texts.length} texts, ${megabytes.toFixed(1)} MB`,
  ...renderTimings(timings, { amount: megabytes, unit: 'MB' }),
]);
