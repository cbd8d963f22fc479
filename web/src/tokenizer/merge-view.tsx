/**
 * How a word becomes tokens: from its bytes, merge by merge.
 */
import { signal } from '@preact/signals';
import { type MergedPiece, type ShownToken, wordMerges } from '../api/inside.ts';
import { hueAt, labelOf } from '../ui/token-text.ts';
import { useAnswer } from '../ui/use-answer.ts';

/** The word that is shown. */
export const mergedWord = signal(' wherefore');

const MAX_CHARS = 400; // as the server says

export function MergeView({ model }: { model: string }) {
  const word = mergedWord.value.slice(0, MAX_CHARS);
  const { value, error } = useAnswer(word === '' ? null : JSON.stringify([model, word]), (stop) =>
    wordMerges({ model, text: word }, stop),
  );
  return (
    <section class="merges area-merges" aria-label="Merge steps">
      <h2>Merge steps</h2>
      <p class="hint">
        Byte-pair encoding starts from the bytes and joins, again and again, the neighbours that were learned to be
        joined first.
      </p>
      <label class="field">
        <span>Word</span>
        <input
          class="code"
          maxLength={MAX_CHARS}
          value={word}
          onInput={(event) => (mergedWord.value = event.currentTarget.value)}
        />
      </label>
      {error !== null && <p class="problem">{error}</p>}
      {word !== '' && value?.pieces.map((piece, i) => <Piece key={i} piece={piece} />)}
    </section>
  );
}

function Piece({ piece }: { piece: MergedPiece }) {
  const { symbols, steps, tokens } = piece;
  const last = steps.at(-1)?.tokens ?? symbols;
  const isLookedUp = tokens.length !== last.length || tokens.some(({ id }, i) => id !== last[i]!.id);
  return (
    <ol class="steps">
      <Step label="bytes" tokens={symbols} merged={null} />
      {steps.map((step, i) => (
        <Step
          key={i}
          label={`${i + 1}`}
          note={`rank ${step.rank.toLocaleString()}`}
          tokens={step.tokens}
          merged={step.at}
        />
      ))}
      {isLookedUp && <Step label="whole" note="a token by itself" tokens={tokens} merged={0} />}
    </ol>
  );
}

interface StepProps {
  readonly label: string;
  readonly note?: string;
  readonly tokens: readonly ShownToken[];
  /** Place of the token that the step made. */
  readonly merged: number | null;
}

function Step({ label, note, tokens, merged }: StepProps) {
  return (
    <li>
      <span class="step-label">{label}</span>
      <span class="step-tokens">
        {tokens.map((token, i) => (
          <span key={i} class="chip" data-merged={i === merged} style={{ '--hue': hueAt(2) }} title={`id ${token.id}`}>
            {labelOf(token)}
          </span>
        ))}
      </span>
      <span class="step-note">{note}</span>
    </li>
  );
}
