/**
 * The attention pattern of one layer and head: each row is a token and shows how its attention is shared among those before it.
 * The picture is for the eye; the list beside it says the same of one token in words.
 */
import { signal } from '@preact/signals';
import { useState } from 'preact/hooks';
import { type AttentionPattern, attentionPattern } from '../api/inside.ts';
import type { ModelConfig } from '../api/models.ts';
import { labelOf } from '../ui/token-text.ts';
import { useAnswer } from '../ui/use-answer.ts';
import { HeatMap } from './heat-map.tsx';

const place = signal({ layer: 0, head: 0 });

interface Props {
  readonly model: string;
  readonly prompt: string;
  readonly config: ModelConfig;
}

export function AttentionView({ model, prompt, config }: Props) {
  const layer = Math.min(place.value.layer, config.numLayers - 1);
  const head = Math.min(place.value.head, config.numHeads - 1);
  const question = { model, text: prompt, layer, head };
  const { value, error, isPending } = useAnswer(JSON.stringify(question), (stop) => attentionPattern(question, stop));
  const group = config.numHeads / config.numKvHeads;
  return (
    <section class="card" aria-label="Attention" aria-busy={isPending}>
      <h2>Attention</h2>
      <div class="place">
        <Place
          label="Layer"
          count={config.numLayers}
          value={layer}
          onChange={(chosen) => (place.value = { layer: chosen, head })}
        />
        <Place
          label="Head"
          count={config.numHeads}
          value={head}
          onChange={(chosen) => (place.value = { layer, head: chosen })}
        />
      </div>
      <p class="hint">
        {group === 1
          ? `Head ${head} has keys and values of its own.`
          : `Head ${head} shares keys and values ${Math.floor(head / group)} with ${group - 1} other ${group === 2 ? 'head' : 'heads'}.`}
      </p>
      {error !== null && <p class="problem">{error}</p>}
      {value && <Pattern pattern={value} />}
    </section>
  );
}

function Place({
  label,
  count,
  value,
  onChange,
}: {
  label: string;
  count: number;
  value: number;
  onChange: (value: number) => void;
}) {
  const id = `place-${label}`;
  return (
    <div class="field">
      <label class="row-between" for={id}>
        <span>{label}</span>
        <output for={id}>
          {value} of 0–{count - 1}
        </output>
      </label>
      <input
        id={id}
        type="range"
        min={0}
        max={count - 1}
        step={1}
        value={value}
        onInput={(event) => onChange(Number(event.currentTarget.value))}
      />
    </div>
  );
}

const NUM_LISTED = 5;
const LEAST_LISTED = 0.005; // less would read 0 %

function Pattern({ pattern }: { pattern: AttentionPattern }) {
  const [chosen, setChosen] = useState<number | null>(null);
  const { tokens, rows } = pattern;
  const row = Math.min(chosen ?? tokens.length - 1, tokens.length - 1);
  const labels = tokens.map(labelOf);
  const strongest = rows[row]!.map((share, column) => ({ share, column }))
    .filter(({ share }) => share >= LEAST_LISTED)
    .toSorted((a, b) => b.share - a.share)
    .slice(0, NUM_LISTED);
  return (
    <>
      <HeatMap labels={labels} rows={rows} row={row} onRow={setChosen} />
      <p class="attended" aria-live="polite">
        <code>{labels[row]}</code> (token {row}) looks at{' '}
        {strongest.map(({ share, column }, i) => (
          <span key={column}>
            {i > 0 && ', '}
            <code>{labels[column]}</code> {(100 * share).toFixed(0)} %
          </span>
        ))}
      </p>
    </>
  );
}
