/**
 * Run as a process of its own: prints, as JSON, how late a 1 ms timer was at worst, in ms, and how often it fired: while the process was
 * idle, and while training steps of a mid-size model ran on the native backend.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { gradients } from '../src/autodiff/gradients.ts';
import { llamaWeightShapes } from '../src/model/config.ts';
import { sizeConfig } from '../src/model/sizes.ts';
import { ROPE_TABLE, targetLogProbs, trainingContext } from '../src/model/training-step.ts';
import { compile, createStates, type StateStore } from '../src/runtime/compile.ts';
import { createNativeBackend } from '../src/runtime/native.ts';
import { trace } from '../src/tensor/graph.ts';
import { assign, sum } from '../src/tensor/ops.ts';

const STEPS = 4;
const PERIOD_MS = 1;
const LONGEST_IDLE_MS = 1000;
const batch = { numTokens: 256, numSegments: 1, numBlocks: 4 };
const config = sizeConfig('nano-30m');
const shapes = [...llamaWeightShapes(config)];

const graph = trace((t) => {
  const loss = sum(targetLogProbs(t, batch, trainingContext(t, config, batch, 'f32')));
  const targets = shapes.map(([name, shape]) => ({
    tensor: t.state(name, 'f32', shape),
    addTo: t.state(`grad.${name}`, 'f32', shape),
  }));
  for (const [i, gradient] of gradients(loss, targets).entries()) assign(targets[i]!.addTo, gradient);
  t.output('loss', loss);
});
const backend = createNativeBackend();
const states: StateStore = new Map();
createStates(backend, states, new Map(graph.states.map(({ name, shape }) => [name, shape])), 'f32');
states.get(ROPE_TABLE)!.write(new Float32Array(config.maxSeqLen * config.headDim).fill(0.5));
const executable = compile(graph, backend, states);
const inputs = {
  tokens: Int32Array.from({ length: batch.numTokens }, (_, t) => t),
  targets: Int32Array.from({ length: batch.numTokens }, (_, t) => t + 1),
  positions: Int32Array.from({ length: batch.numTokens }, (_, t) => t),
  segments: [0, batch.numTokens, batch.numTokens, 0],
  blocks: [0, 64, 128, 192],
};
await executable.run(inputs); // first touch of all memory, first compilation of all code

interface Lateness {
  worstMs: number;
  fired: number;
}

/** Watches a timer while `work` goes on. */
async function watch(work: () => Promise<unknown>): Promise<Lateness> {
  const seen: Lateness = { worstMs: 0, fired: 0 };
  let due = performance.now() + PERIOD_MS;
  let timer = setTimeout(function tick() {
    seen.worstMs = Math.max(seen.worstMs, performance.now() - due);
    seen.fired++;
    due = performance.now() + PERIOD_MS;
    timer = setTimeout(tick, PERIOD_MS);
  }, PERIOD_MS);
  await work();
  clearTimeout(timer);
  return { ...seen, worstMs: Math.max(seen.worstMs, performance.now() - due) };
}

const start = performance.now();
const busy = await watch(async () => {
  for (let step = 0; step < STEPS; step++) await executable.run(inputs);
});
const idle = await watch(() => sleep(Math.min(performance.now() - start, LONGEST_IDLE_MS)));
process.stdout.write(JSON.stringify({ busy, idle }));
