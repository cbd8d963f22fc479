/**
 * A training run as a person watches it: one line that keeps up on a terminal, plain lines now and then elsewhere. Everything on stderr.
 */
import { renderBytes } from '../runtime/available-memory.ts';
import type { RunFacts, TrainEvent } from '../train/train-event.ts';
import { renderCount, renderDuration } from './format.ts';
import type { CommandIo } from './io.ts';

type StepEvent = Extract<TrainEvent, { kind: 'step' }>;

const BAR_CELLS = 16;
const PLAIN_COLUMNS = 160;
const DEFAULT_COLUMNS = 80;
const TERMINAL_INTERVAL_MS = 100;
const PLAIN_INTERVAL_MS = 15_000;
const CLEAR_LINE = '\r\u001b[2K';

/** A watcher that writes to the person at `io.stderr`. */
export function trainView(io: CommandIo, now: () => number): (event: TrainEvent) => void {
  const { stderr } = io;
  const isTerminal = stderr.isTTY === true;
  let facts: RunFacts | null = null;
  let heldOut: number | null = null; // bits per byte
  let shownAt = -Infinity;
  const line = (text: string): void => void stderr.write(`${isTerminal ? CLEAR_LINE : ''}${text}\n`);

  const showStep = (event: StepEvent): void => {
    heldOut = event.evaluation?.bits_per_byte ?? heldOut;
    const isLast = event.step === facts!.totalSteps;
    const interval = isTerminal ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS;
    const isNews = isLast || event.skipped === 'non-finite' || (!isTerminal && event.evaluation !== null);
    if (isNews || now() - shownAt >= interval) {
      shownAt = now();
      const width = isTerminal ? (stderr.columns ?? DEFAULT_COLUMNS) - 1 : PLAIN_COLUMNS;
      const text = stepLine(event, facts!, heldOut, width);
      if (isTerminal) stderr.write(`${CLEAR_LINE}${text}${isLast ? '\n' : ''}`);
      else line(text);
    }
    if (event.skipped === 'non-finite') line(`step ${event.step}: the gradient was not finite; the step was skipped`);
    if (event.sample !== null) line(`\n${indented(event.sample)}\n`);
  };

  return (event) => {
    if (event.kind === 'phase') line(`${event.what} ...`);
    else if (event.kind === 'step') showStep(event);
    else if (event.kind === 'start') {
      facts = event;
      for (const text of startLines(event)) line(text);
    }
  };
}

function startLines(facts: RunFacts): string[] {
  const lines = [
    `${renderCount(facts.numParameters)} parameters, vocabulary ${facts.vocabSize}, ${facts.backend} backend, ` +
      `${renderBytes(facts.memoryBytes)} of memory`,
    `${renderCount(facts.trainTokens)} tokens from ${renderCount(facts.trainBytes)}B of text, ` +
      `${renderCount(facts.validationBytes)}B held out; ` +
      `${facts.totalSteps} steps of ${renderCount(facts.tokensPerStep)} tokens, ${facts.epochs.toFixed(1)} epochs`,
  ];
  if (facts.resumedFrom > 0) lines.push(`going on from step ${facts.resumedFrom}`);
  return lines;
}

/** One line of at most `width` characters; what matters least goes first where that is tight. */
function stepLine(event: StepEvent, facts: RunFacts, heldOut: number | null, width: number): string {
  const { step, loss, tokensPerSecond, shareOfPeak, secondsLeft } = event;
  const { totalSteps, trainTokens, trainBytes } = facts;
  const bitsPerByte = (loss / Math.LN2) * (trainTokens / trainBytes);
  const parts = [
    { text: bar(step / totalSteps), rank: 2 },
    { text: `${String(step).padStart(String(totalSteps).length)}/${totalSteps}`, rank: 0 },
    { text: `loss ${loss.toFixed(3)}`, rank: 4 },
    { text: `${bitsPerByte.toFixed(3)} bits/byte`, rank: 0 },
    { text: heldOut === null ? '' : `(held out ${heldOut.toFixed(3)})`, rank: 1 },
    { text: `${renderCount(tokensPerSecond)} tokens/s`, rank: 1 },
    { text: shareOfPeak === null ? '' : `${Math.round(100 * shareOfPeak)} % of peak`, rank: 3 },
    { text: step === totalSteps ? 'done' : `${renderDuration(secondsLeft)} left`, rank: 0 },
  ].filter(({ text }) => text !== '');
  for (let highest = 4; ; highest--) {
    const shown = parts.filter(({ rank }) => rank <= highest);
    const line = shown.map(({ text }) => text).join('  ');
    if (line.length <= width || highest === 0) return line.slice(0, width);
  }
}

/** A sample as a block of its own. */
function indented(text: string): string {
  return text.trim().replaceAll(/^/gm, '    ');
}

function bar(done: number): string {
  const cells = Math.round(done * BAR_CELLS);
  return '\u2588'.repeat(cells) + '\u2591'.repeat(BAR_CELLS - cells);
}
