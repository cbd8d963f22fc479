/**
 * How the open conversation is answered: system prompt and sampling.
 */
import { Icon } from '../ui/icon.tsx';
import { changeOpen, openConversation } from './chat-state.ts';
import { DEFAULT_SAMPLING, type Sampling } from './conversation.ts';

interface Control {
  readonly key: keyof Sampling;
  readonly label: string;
  readonly hint: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
}

const SLIDERS: readonly Control[] = [
  { key: 'temperature', label: 'Temperature', hint: '0 always takes the likeliest token', min: 0, max: 2, step: 0.05 },
  {
    key: 'topP',
    label: 'Top-p',
    hint: 'the likeliest tokens that together have this share',
    min: 0.05,
    max: 1,
    step: 0.05,
  },
  {
    key: 'minP',
    label: 'Min-p',
    hint: 'tokens with at least this share of the likeliest',
    min: 0,
    max: 0.5,
    step: 0.01,
  },
  { key: 'repetitionPenalty', label: 'Repetition penalty', hint: '1 is none', min: 1, max: 2, step: 0.05 },
];

const NUMBERS: readonly Control[] = [
  { key: 'topK', label: 'Top-k', hint: 'empty: all tokens', min: 1, max: 1_000_000, step: 1 },
  {
    key: 'maxTokens',
    label: 'Most tokens of a reply',
    hint: 'empty: 2,048 at most',
    min: 1,
    max: 1_000_000,
    step: 1,
  },
  { key: 'seed', label: 'Seed', hint: 'empty: another one each time', min: 0, max: 2 ** 31 - 1, step: 1 },
];

export function SettingsPanel({ onClose }: { onClose: () => void }) {
  const { system, sampling } = openConversation.value;
  const set = (key: keyof Sampling, value: number | null) => changeOpen({ sampling: { ...sampling, [key]: value } });
  return (
    <aside class="side side-settings" aria-label="Settings">
      <div class="row-between">
        <h2>Settings</h2>
        <button class="ghost" type="button" aria-label="Close settings" onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
      <label class="field">
        <span>System prompt</span>
        <textarea
          rows={5}
          placeholder="How the model is to behave"
          value={system}
          onInput={(event) => changeOpen({ system: event.currentTarget.value })}
        />
      </label>
      {SLIDERS.map((control) => (
        <Slider
          key={control.key}
          control={control}
          value={sampling[control.key] ?? 0}
          onChange={(value) => set(control.key, value)}
        />
      ))}
      {NUMBERS.map((control) => (
        <NumberBox
          key={control.key}
          control={control}
          value={sampling[control.key]}
          onChange={(value) => set(control.key, value)}
        />
      ))}
      <button class="plain" type="button" onClick={() => changeOpen({ sampling: DEFAULT_SAMPLING })}>
        Back to the defaults
      </button>
    </aside>
  );
}

function Slider({ control, value, onChange }: { control: Control; value: number; onChange: (value: number) => void }) {
  const { key, label, hint, min, max, step } = control;
  return (
    <div class="field">
      <label class="row-between" for={`set-${key}`}>
        <span>{label}</span>
        <output for={`set-${key}`}>{value.toFixed(2)}</output>
      </label>
      <input
        id={`set-${key}`}
        type="range"
        min={min}
        max={max}
        step={step}
        value={value}
        aria-describedby={`hint-${key}`}
        onInput={(event) => onChange(Number(event.currentTarget.value))}
      />
      <p class="hint" id={`hint-${key}`}>
        {hint}
      </p>
    </div>
  );
}

function NumberBox({
  control,
  value,
  onChange,
}: {
  control: Control;
  value: number | null;
  onChange: (value: number | null) => void;
}) {
  const { key, label, hint, min, max, step } = control;
  const take = (input: HTMLInputElement) => {
    if (input.value === '') onChange(null);
    else if (input.checkValidity()) onChange(Number(input.value));
  };
  return (
    <label class="field">
      <span>{label}</span>
      <input
        id={`set-${key}`}
        type="number"
        min={min}
        max={max}
        step={step}
        placeholder={hint}
        value={value ?? ''}
        onInput={(event) => take(event.currentTarget)}
      />
    </label>
  );
}
