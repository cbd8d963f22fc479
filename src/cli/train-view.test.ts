import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { captureIo } from '../../test/run-command.ts';
import type { TrainEvent } from '../train/train-event.ts';
import { renderCount, renderDuration } from './format.ts';
import { trainView } from './train-view.ts';

const START: TrainEvent = {
  kind: 'start',
  backend: 'native',
  numParameters: 4_690_000,
  vocabSize: 1024,
  trainTokens: 400_000,
  trainBytes: 1_000_000,
  validationBytes: 111_540,
  totalSteps: 1000,
  tokensPerStep: 4096,
  epochs: 10.24,
  memoryBytes: 2 ** 28,
  resumedFrom: 0,
};

function step(number: number, changes: Partial<Extract<TrainEvent, { kind: 'step' }>> = {}): TrainEvent {
  return {
    kind: 'step',
    step: number,
    loss: 5 * Math.LN2,
    lr: 1e-3,
    gradNorm: 1,
    numTokens: 0,
    skipped: null,
    milliseconds: 10,
    tokensPerSecond: 45_123,
    shareOfPeak: 0.614,
    secondsLeft: 130,
    evaluation: null,
    sample: null,
    ...changes,
  };
}

/** What is written for these events, one every `stepMs`; columns of a terminal, or null for a pipe. */
function shown(events: readonly TrainEvent[], columns: number | null, stepMs: number): string {
  const { io, written } = captureIo();
  const stderr = columns === null ? io.stderr : Object.assign(io.stderr, { isTTY: true, columns });
  let time = 0;
  const watch = trainView({ ...io, stderr }, () => time);
  for (const event of events) {
    watch(event);
    time += stepMs;
  }
  return written.err;
}

describe('trainView', () => {
  it('keeps one line up to date on a terminal', () => {
    const text = shown(
      [START, step(1), step(2, { evaluation: { loss: 3, bits_per_byte: 2.25 } }), step(1000)],
      200,
      500,
    );
    const lines = text.split('\n');
    assert.equal(lines.length, 4); // two to begin with, one that was rewritten, and its end
    const last = lines[2]!.split('\r\u001b[2K').at(-1);
    assert.equal(
      last,
      `${'\u2588'.repeat(16)}  1000/1000  loss 3.466  2.000 bits/byte  (held out 2.250)  45.1k tokens/s  61 % of peak  done`,
    );
  });

  it('shows what matters most where the terminal is narrow', () => {
    const widths = [140, 80, 50, 30].map((columns) => {
      const line = shown([START, step(7, { evaluation: { loss: 3, bits_per_byte: 2.25 } })], columns, 0)
        .split('K')
        .at(-1)!;
      assert.ok(line.length < columns);
      return line;
    });
    assert.match(widths[0]!, /loss .* left/);
    assert.match(widths[1]!, /^ +7\/1000 .*held out.*tokens\/s +2 min 10 s left$/);
    assert.match(widths[2]!, /^ +7\/1000 .*bits\/byte.*2 min 10 s left$/);
  });

  it('writes a line now and then to a pipe, and at once what is news', () => {
    const events = [START, ...Array.from({ length: 100 }, (_, i) => step(i + 1))];
    const lines = shown(
      [...events, step(101, { skipped: 'non-finite' }), step(102, { sample: '\nO Romeo\nO' })],
      null,
      1000,
    );
    assert.equal(lines.match(/bits\/byte/g)!.length, 8); // every 15 s of 100, and the skipped step
    assert.match(lines, /step 101: the gradient was not finite/);
    assert.match(lines, /\n\n {4}O Romeo\n {4}O\n\n/);
    assert.ok(!lines.includes('\r'));
  });
});

describe('renderCount and renderDuration', () => {
  it('read well at every size', () => {
    assert.deepEqual([0, 950, 12_345, 4_690_000, 8_030_261_248, 15.6e12].map(renderCount), [
      '0',
      '950',
      '12.3k',
      '4.69M',
      '8.03B',
      '15.6T',
    ]);
    assert.deepEqual([0, 8.4, 60, 200, 18_720, 273_600].map(renderDuration), [
      '0 s',
      '8 s',
      '1 min',
      '3 min 20 s',
      '5 h 12 min',
      '3 d 4 h',
    ]);
  });
});
