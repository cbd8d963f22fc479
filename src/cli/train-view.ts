/**
 * A training run as a person watches it: one line that keeps up on a terminal, plain lines now and then elsewhere. Everything on stderr.
 */
import { renderBytes } from '../runtime/available-memory.ts';
import type { RunFacts, TrainEvent } from '../train/train-event.ts';
import { renderCount, renderDuration } from './format.ts';
import type { CommandIo } from './io.ts';

type StepEvent = Extract<TrainEvent, { kind: 'step' }>;

const BAR_CELLS = 20;
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
      const text = stepLine(event, facts!, heldOut);
      if (isTerminal) stderr.write(`${CLEAR_LINE}${text.slice(0, (stderr.columns ?? 120) - 1)}${isLast ? '\n' : ''}`);
      else line(text);
    }
    if (event.skipped === 'non-finite') line(`step ${event.step}: the gradient was not finite; the step was skipped`);
    if (event.sample !== null) line(`--- step ${event.step} writes: ${event.sample.replaceAll('\n', '\n    ')}\n---`);
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
    `${renderCount(facts.trainTokens)} tokens from ${renderBytes(facts.trainBytes)} of text, ` +
      `${renderBytes(facts.validationBytes)} held out; ` +
      `${facts.totalSteps} steps of ${renderCount(facts.tokensPerStep)} tokens, ${facts.epochs.toFixed(1)} epochs`,
  ];
  if (facts.resumedFrom > 0) lines.push(`going on from step ${facts.resumedFrom}`);
  return lines;
}

function stepLine(event: StepEvent, facts: RunFacts, heldOut: number | null): string {
  const done = event.step / facts.totalSteps;
  const cells = Math.round(done * BAR_CELLS);
  const bar = '\u2588'.repeat(cells) + '\u2591'.repeat(BAR_CELLS - cells);
  const bitsPerByte = (event.loss / Math.LN2) * (facts.trainTokens / facts.trainBytes);
  const parts = [
    `${bar} ${String(event.step).padStart(String(facts.totalSteps).length)}/${facts.totalSteps}`,
    `loss ${event.loss.toFixed(3)}`,
    `${bitsPerByte.toFixed(3)} bits/byte${heldOut === null ? '' : ` (held out ${heldOut.toFixed(3)})`}`,
    `${renderCount(event.tokensPerSecond)} tokens/s`,
    ...(event.shareOfPeak === null ? [] : [`${Math.round(100 * event.shareOfPeak)} % of peak`]),
    done === 1 ? 'done' : `${renderDuration(event.secondsLeft)} left`,
  ];
  return parts.join('  ');
}
