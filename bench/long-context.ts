/**
 * A long prompt in steps of 512 tokens, and decoding behind it: time and memory at each doubling. Random weights in int4, keys and values in
 * f16, rotary scaling of Llama 3.1.
 *
 *   npx tsx bench/long-context.ts [--size smollm2-135m] [--context 32768] [--threads N] [--json]
 */
import { parseArgs } from 'node:util';
import { numBlocksFor } from '../src/infer/kv-cache.ts';
import { randomModel } from '../src/infer/model.ts';
import { ModelRunner } from '../src/infer/model-runner.ts';
import { sizeConfig } from '../src/model/sizes.ts';
import { createNativeBackend } from '../src/runtime/native.ts';
import { report } from './interleave.ts';

const STEP_TOKENS = 512;
const DECODED_TOKENS = 4;
const ROPE_SCALING = { factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPosition: 8192 };

const { values: flags } = parseArgs({
  options: {
    size: { type: 'string', default: 'smollm2-135m' },
    context: { type: 'string', default: '32768' },
    threads: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
});
const contextLength = Number(flags.context);
const config = { ...sizeConfig(flags.size), maxSeqLen: contextLength, ropeScaling: ROPE_SCALING };
const backend = createNativeBackend({ threads: Number(flags.threads) });
const runner = new ModelRunner(
  randomModel(config, backend, { weightType: 'q4', kvType: 'f16', contextLength, batch: 1 }),
);
const peakMib = () => Math.round(process.resourceUsage().maxRSS / 1024);
const loadedMib = peakMib();
const blockIds = Array.from({ length: numBlocksFor(contextLength) }, (_, id) => id);
const lastStart = contextLength - DECODED_TOKENS;

async function run(startPos: number, numTokens: number): Promise<number> {
  const ids = Int32Array.from({ length: numTokens }, (_, i) => ((startPos + i) * 7919) % config.vocabSize);
  const startedAt = performance.now();
  await runner.run([{ ids, startPos, blockIds, logits: 'last' }]);
  return (performance.now() - startedAt) / 1000;
}

const rows: { tokens: number; seconds: number; decodeMs: number; peakMib: number }[] = [];
let seconds = 0;
for (let start = 0; start < lastStart; start += STEP_TOKENS) {
  const end = Math.min(start + STEP_TOKENS, lastStart);
  seconds += await run(start, end - start);
  if (end < lastStart && (Math.log2(end) % 1 !== 0 || end < 2048)) continue;
  const steps: number[] = [];
  for (let i = 0; i < DECODED_TOKENS; i++) steps.push(await run(end + i, 1));
  rows.push({ tokens: end, seconds, decodeMs: 1000 * Math.min(...steps), peakMib: peakMib() });
}
report(flags.json, { loadedMib, rows }, () => [
  `memory after loading ${loadedMib} MiB`,
  ...rows.map(
    (row) =>
      `${row.tokens} tokens: read in ${row.seconds.toFixed(1)} s, then ${row.decodeMs.toFixed(1)} ms a token, ${row.peakMib} MiB at most`,
  ),
]);
runner.dispose();
