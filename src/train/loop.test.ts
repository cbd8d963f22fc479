import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { HYPER_INPUT, SQUARED_NORM_OUTPUT } from '../optim/adamw.ts';
import type { Executable, Values } from '../runtime/backend.ts';
import { createReferenceBackend } from '../runtime/reference.ts';
import { INITIAL_TRAINER_STATE, type TrainerState } from './checkpoint.ts';
import { type LoopInput, type LoopSettings, type StepReport, trainLoop } from './loop.ts';
import { LOSS_SCALE } from './next-token.ts';

type Inputs = Readonly<Record<string, ArrayLike<number>>>;

/** An executable that answers by script and remembers what it was given. */
function scripted(answer: (inputs: Inputs, call: number) => Record<string, Values>): Executable & { calls: Inputs[] } {
  const calls: Inputs[] = [];
  return {
    calls,
    run: async (inputs) => {
      calls.push(inputs);
      return answer(inputs, calls.length - 1);
    },
    dispose: () => {},
  };
}

const SETTINGS: LoopSettings = {
  schedule: { shape: 'constant', lr: 0.5, minLrRatio: 1, warmupSteps: 0, totalSteps: 6, decayRatio: 0 },
  adamw: { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0 },
  maxGradNorm: 2,
  evaluateEvery: 2,
  sampleEvery: 3,
  checkpointEvery: 4,
};

/** A loop over scripted programs; `numValid` and `squaredNorm` by step. */
function scene({
  numValid = () => 4,
  squaredNorm = () => 1,
  ...changes
}: {
  numValid?: (step: number) => number;
  squaredNorm?: (step: number) => number;
} & Partial<LoopInput>) {
  const gradient = createReferenceBackend({ precision: 'float32' }).createStorage('f32', [2]);
  const programs = {
    gradient: scripted(() => ({ loss: Float32Array.of(3, 1) })),
    norm: scripted((_, call) => ({ [SQUARED_NORM_OUTPUT]: Float32Array.of(squaredNorm(call)) })),
    update: scripted(() => ({})),
  };
  const log: string[] = [];
  const reports: StepReport[] = [];
  const checkpoints: TrainerState[] = [];
  const input: LoopInput = {
    task: {
      draw: (step) => ({ microSteps: [{ x: [step] }, { x: [step] }], numValid: numValid(step) }),
      cursor: (step) => step * 10,
      evaluate: async (isLast) => {
        log.push(isLast ? 'evaluate all' : 'evaluate');
        return { loss: 9 - log.length };
      },
      sample: async () => 'sample',
    },
    programs,
    states: new Map([['grad.w', gradient]]),
    gradientNames: ['grad.w'],
    settings: SETTINGS,
    start: INITIAL_TRAINER_STATE,
    signal: null,
    now: () => 0,
    observer: {
      step: (report, evaluation, sample) => {
        reports.push(report);
        log.push(`${report.step}${evaluation ? ' evaluated' : ''}${sample ? ` ${sample}` : ''}`);
      },
      checkpoint: async (state) => {
        checkpoints.push(state);
        log.push(`checkpoint ${state.step}`);
      },
    },
    ...changes,
  };
  return { input, programs, log, reports, checkpoints, gradient };
}

describe('trainLoop', () => {
  it('evaluates, samples and checkpoints when due, all of it at the end', async () => {
    const { input, log } = scene({});
    const end = await trainLoop(input);
    assert.deepEqual(log, [
      '1',
      'evaluate',
      '2 evaluated',
      '3 sample',
      'evaluate',
      '4 evaluated',
      'checkpoint 4',
      '5',
      'evaluate all',
      '6 evaluated sample',
      'checkpoint 6',
    ]);
    assert.deepEqual([end.step, end.numUpdates, end.numTokens, end.dataCursor], [6, 6, 24, 60]);
    assert.deepEqual(end.best, { step: 6, loss: 0 });
  });

  it('divides by the valid targets of all micro-steps and clips by the global norm', async () => {
    const { input, programs, reports } = scene({ squaredNorm: () => 16 });
    await trainLoop(input);
    assert.equal(programs.gradient.calls.length, 12);
    for (const inputs of programs.gradient.calls) assert.deepEqual(inputs[LOSS_SCALE], [1 / 4]);
    assert.deepEqual([reports[0]!.loss, reports[0]!.gradNorm, reports[0]!.lr], [2, 4, 0.5]);
    const [lr, , , scale] = Array.from(programs.update.calls[0]![HYPER_INPUT]!);
    assert.equal(lr, 0.5);
    assert.ok(Math.abs(scale! - 0.5) < 1e-6);
  });

  it('skips and counts a step whose gradient is not finite, and empties it', async () => {
    for (const bad of [Number.NaN, Infinity]) {
      const { input, programs, reports, gradient } = scene({ squaredNorm: (step) => (step === 2 ? bad : 1) });
      gradient.write([bad, 1]);
      const end = await trainLoop(input);
      assert.deepEqual([end.step, end.numUpdates, end.numNonFinite], [6, 5, 1]);
      assert.equal(reports[2]!.skipped, 'non-finite');
      assert.deepEqual([...gradient.read()], [0, 0]);
      // The bias correction counts updates, not steps.
      assert.ok(Math.abs(programs.update.calls[4]![HYPER_INPUT]![1]! - (1 - 0.9 ** 5)) < 1e-7);
    }
  });

  it('skips and counts a step in which no target is valid', async () => {
    const { input, programs } = scene({ numValid: (step) => (step === 1 ? 0 : 4) });
    const end = await trainLoop(input);
    assert.deepEqual([end.step, end.numUpdates, end.numEmpty, end.numTokens], [6, 5, 1, 20]);
    assert.equal(programs.gradient.calls.length, 10);
  });

  it('gives up when nothing is finite any more', async () => {
    const { input } = scene({
      squaredNorm: () => Number.NaN,
      settings: { ...SETTINGS, schedule: { ...SETTINGS.schedule, totalSteps: 1000 } },
    });
    await assert.rejects(trainLoop(input), { code: 'E_RUN', message: /diverged: .*lower optimizer\.lr than 0\.5/ });
  });

  it('stops after the step under way when asked to, with a checkpoint, and goes on from there', async () => {
    const controller = new AbortController();
    const first = scene({ signal: controller.signal });
    const { step } = first.input.observer;
    const observer = {
      ...first.input.observer,
      step: (...args: Parameters<typeof step>) => {
        if (args[0].step === 3) controller.abort();
        return step(...args);
      },
    };
    const stopped = await trainLoop({ ...first.input, observer });
    assert.deepEqual(first.checkpoints, [stopped]);
    assert.equal(stopped.step, 3);
    const second = scene({ start: stopped });
    assert.equal((await trainLoop(second.input)).step, 6);
    assert.deepEqual(
      second.programs.gradient.calls.map(({ x }) => x![0]),
      [3, 3, 4, 4, 5, 5],
    );
  });
});
