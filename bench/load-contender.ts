/**
 * Ours in bench/load.ts: `node --import tsx load-contender.ts MODEL CONTEXT` loads once and prints what it took.
 */
import { readFileSync } from 'node:fs';
import { checkpointTokenizer } from '../src/formats/convert-tokenizer.ts';
import { openCheckpoint } from '../src/formats/open-checkpoint.ts';
import { loadModel } from '../src/infer/model.ts';
import { ModelRunner } from '../src/infer/model-runner.ts';
import { cachePlaces } from '../src/infer/packed-cache.ts';
import { createNativeBackend } from '../src/runtime/native.ts';

const startedAt = performance.now();
const checkpoint = await openCheckpoint(process.argv[2]!);
const options = { weightType: 'stored', kvType: 'f16', contextLength: Number(process.argv[3]), batch: 1 } as const;
const backend = createNativeBackend({ threads: 2 });
const model = await loadModel(checkpoint, backend, options, { cachePlaces: cachePlaces(process.env) });
const tokenizer = await checkpointTokenizer(checkpoint); // llama.cpp loads its vocabulary with the model
const loadMs = performance.now() - startedAt;
const ids = tokenizer!.encode('The');
await new ModelRunner(model).run([{ ids, startPos: 0, blockIds: [0], logits: 'last' }]);
const firstTokenMs = performance.now() - startedAt;
const peakKib = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]);
console.log(JSON.stringify({ load_ms: loadMs, first_token_ms: firstTokenMs, peak_mib: peakKib / 1024 }));
process.exit(0);
