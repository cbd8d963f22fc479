/**
 * Milliseconds that the plan of a step takes whose shape was not met before: graph, places in memory, encoding. The first ones in a process,
 * before the JavaScript engine has compiled what makes them, and the later ones.
 *
 *   npx tsx bench/plan.ts [--size smollm2-135m] [--plans 200] [--json]
 */
import { parseArgs } from 'node:util';
import { createModel } from '../src/infer/model.ts';
import { stepCompiler } from '../src/infer/step-compiler.ts';
import { sizeConfig } from '../src/model/sizes.ts';
import { createNativeBackend } from '../src/runtime/native.ts';
import { median, report } from './interleave.ts';
import { machine, renderMachine } from './machine.ts';

const FIRST_PLANS = 5;

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: 'smollm2-135m' },
    plans: { type: 'string', default: '200' },
    json: { type: 'boolean', default: false },
  },
});
const sizes = { weightType: 'q4', kvType: 'f16', contextLength: 1024, batch: 1 } as const;
const compiler = stepCompiler(createModel(sizeConfig(values.size), createNativeBackend(), sizes));

/** Steps of more and more tokens in one sequence, the last one's logits wanted. */
const ms = Array.from({ length: Number(values.plans) }, (_, i) => {
  const startedAt = performance.now();
  compiler({ numTokens: i + 1, numSegments: 1, numEntries: 32, numRows: 1, numHiddenRows: 0 }).dispose();
  return performance.now() - startedAt;
});
const [first, later] = [ms.slice(0, FIRST_PLANS), ms.slice(ms.length >> 1)];
const figures = { first, later: { best: Math.min(...later), median: median(later) } };
report(values.json, { machine: machine(), size: values.size, ...figures }, () => [
  renderMachine(machine()),
  `${values.size}: the first ${first.map((each) => each.toFixed(1)).join(', ')} ms; of the later half the best ${figures.later.best.toFixed(2)} ms, the median ${figures.later.median.toFixed(2)} ms`,
]);
