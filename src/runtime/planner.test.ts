import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gradients } from '../autodiff/gradients.ts';
import { sizeConfig } from '../model/sizes.ts';
import { llamaWeightShapes } from '../model/config.ts';
import { targetLogProbs, trainingContext } from '../model/training-step.ts';
import { type Graph, trace, type Tensor } from '../tensor/graph.ts';
import { inPlace } from '../tensor/operators.ts';
import { add, affine, assign, mul, sum } from '../tensor/ops.ts';
import { checkGraph } from '../tensor/check.ts';
import { checkpointRegions } from '../autodiff/checkpoint.ts';
import { integer, randomStream } from '../util/rng.ts';
import { optimise } from './passes.ts';
import { planGraph } from './planner.ts';
import type { Operand, Plan } from './plan.ts';

const config = sizeConfig('tiny');
const batch = { numTokens: 96, numSegments: 4, numBlocks: 4 };

function trainingGraph(): Graph {
  return trace((t) => {
    const loss = affine(sum(targetLogProbs(t, batch, trainingContext(t, config, batch, 'f32'))), -1);
    const shapes = [...llamaWeightShapes(config)];
    const targets = shapes.map(([name, shape]) => ({
      tensor: t.state(name, 'f32', shape),
      addTo: t.state(`grad.${name}`, 'f32', shape),
    }));
    for (const [i, gradient] of gradients(loss, targets).entries()) assign(targets[i]!.addTo!, gradient);
    t.output('loss', loss);
  });
}

/** Which write last touched each 64-byte line of each buffer. */
class Memory {
  readonly #writer = new Map<string, object>();

  #lines(operand: Operand): string[] {
    const first = Math.floor(operand.byteOffset / 64);
    const count = Math.ceil(operand.byteLength / 64);
    return Array.from({ length: count }, (_, i) => `${operand.buffer}:${first + i}`);
  }

  write(operand: Operand, writer: object): void {
    for (const line of this.#lines(operand)) this.#writer.set(line, writer);
  }

  writersOf(operand: Operand): Set<object | undefined> {
    return new Set(this.#lines(operand).map((line) => this.#writer.get(line)));
  }
}

/** Walks the plan beside its graph: every operand read must hold what the graph says, untouched by any later write. */
function assertReadsSeeTheirWrites(graph: Graph, plan: Plan): void {
  const memory = new Memory();
  const held = new Map<Tensor, object>(); // which write holds a tensor's values
  const record = (tensor: Tensor, operand: Operand) => {
    const write = {};
    held.set(tensor, write);
    memory.write(operand, write);
  };
  for (const input of graph.inputs) record(input, plan.inputs.get(input.name)!);
  for (const [i, state] of graph.states.entries()) {
    const byteLength = Number.MAX_SAFE_INTEGER;
    held.set(state, {});
    const size = plan.instructions
      .flatMap((x) => [...x.inputs, ...x.outputs])
      .find((operand) => operand?.buffer === i + 1);
    memory.write(
      { ...(size ?? { byteOffset: 0, dtype: 'f32', shape: [], byteLength }), buffer: i + 1 } as Operand,
      held.get(state)!,
    );
  }
  const instructions = [...plan.instructions];
  for (const node of graph.nodes) {
    const next = instructions[0];
    if (node.op === 'assign' && next?.op !== 'assign') {
      held.set(node.outputs[0]!, held.get(node.inputs[1]!)!);
      continue;
    }
    const instruction = instructions.shift()!;
    assert.equal(instruction.op, node.op);
    for (const [i, input] of node.inputs.entries()) {
      if (!input) continue;
      const operand = instruction.inputs[i]!;
      if (operand.byteLength === 0) continue;
      assert.deepEqual(memory.writersOf(operand), new Set([held.get(input)]), `${node.op} reads ${input.name}`);
    }
    for (const [i, operand] of instruction.outputs.entries()) {
      const shared = instruction.inputs.findIndex(
        (input) => input && input.buffer === operand.buffer && overlaps(input, operand),
      );
      const allowed =
        shared === -1 ||
        (inPlace[node.op] ?? []).some(([output, input]) => output === i && input === shared) ||
        operand.buffer > 0;
      assert.ok(allowed, `${node.op}: output ${i} lies in input ${shared}`);
      record(node.outputs[i]!, operand);
    }
  }
  for (const [name, tensor] of graph.outputs) {
    assert.deepEqual(memory.writersOf(plan.outputs.get(name)!), new Set([held.get(tensor)]), `output ${name}`);
  }
}

function overlaps(a: Operand, b: Operand): boolean {
  return a.byteOffset < b.byteOffset + b.byteLength && b.byteOffset < a.byteOffset + a.byteLength;
}

const noWorkspace = () => 0;

/** Elementwise work in lanes of different sizes, in any order: some values are read at once, some much later, some never. */
function lanesGraph(seed: number): Graph {
  const random = randomStream(seed, 'lanes');
  let drawn = 0;
  const draw = (most: number) => integer(random, drawn++, most);
  return trace((t) => {
    const lanes = Array.from({ length: 6 }, (_, i) => [t.input(`x${i}`, 'f32', [16 * (1 + draw(40))])]);
    for (let i = 0; i < 80; i++) {
      const lane = lanes[draw(lanes.length)]!;
      lane.push(mul(lane.at(-1)!, lane[draw(lane.length)]!));
    }
    for (const [i, lane] of lanes.entries()) t.output(`y${i}`, add(lane.at(-1)!, lane[draw(lane.length)]!));
  });
}

describe('planGraph', () => {
  it('gives every read of a training step the value that was written for it', () => {
    const graph = optimise(trainingGraph());
    checkGraph(graph);
    assertReadsSeeTheirWrites(graph, planGraph(graph, noWorkspace));
  });

  it('does so whatever the sizes and lives of tensors', () => {
    for (let seed = 0; seed < 40; seed++) {
      const graph = lanesGraph(seed);
      assertReadsSeeTheirWrites(graph, planGraph(graph, noWorkspace));
    }
  });

  it('does so with gradient checkpointing, and then needs less memory', () => {
    const plain = optimise(trainingGraph());
    const checkpointed = optimise(checkpointRegions(trainingGraph()));
    checkGraph(checkpointed);
    const plan = planGraph(checkpointed, noWorkspace);
    assertReadsSeeTheirWrites(checkpointed, plan);
    assert.ok(plan.arenaBytes < 0.8 * planGraph(plain, noWorkspace).arenaBytes);
  });

  it('computes weight gradients on top of the gradient states, without temporary copies', () => {
    const plan = planGraph(optimise(trainingGraph()), noWorkspace);
    assert.deepEqual(
      plan.instructions.filter((instruction) => instruction.op === 'assign'),
      [],
    );
    const weightGradients = plan.instructions.filter(
      ({ op, attrs }) => op === 'matmul' && 'transposeA' in attrs && attrs.transposeA,
    );
    for (const { outputs } of weightGradients) assert.ok(outputs[0]!.buffer > 0);
  });

  it('computes the vocabulary product of the loss once, not once more for its gradient', () => {
    const ops = optimise(trainingGraph()).nodes.map((node) => node.op);
    assert.equal(ops.filter((op) => op === 'tokenLogProbsGrad').length, 1);
    assert.equal(ops.filter((op) => op === 'tokenLogProbs').length, 0);
  });
});
