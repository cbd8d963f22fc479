/**
 * The likeliest next tokens of a prompt as bars. Pressing one writes it.
 */
import { nextTokens } from '../api/inside.ts';
import { labelOf, textOf } from '../ui/token-text.ts';
import { useAnswer } from '../ui/use-answer.ts';

const NUM_SHOWN = 14;

interface Props {
  readonly model: string;
  readonly prompt: string;
  readonly onChosen: (text: string) => void;
}

export function NextTokenView({ model, prompt, onChosen }: Props) {
  const { value, error, isPending } = useAnswer(JSON.stringify([model, prompt]), (stop) =>
    nextTokens({ model, text: prompt, count: NUM_SHOWN }, stop),
  );
  return (
    <section class="card" aria-label="Next token" aria-busy={isPending}>
      <h2>Next token</h2>
      <p class="hint">What the model holds likely, at temperature 1. Press a token to write it.</p>
      {error !== null && <p class="problem">{error}</p>}
      {value && (
        <>
          <ol class="bars">
            {value.candidates.map((candidate) => (
              <li key={candidate.id}>
                <button
                  type="button"
                  disabled={textOf(candidate) === null}
                  onClick={() => onChosen(textOf(candidate) ?? '')}
                >
                  <code>{labelOf(candidate)}</code>
                  <span class="bar-track" aria-hidden="true">
                    <span class="bar-fill" style={{ inlineSize: `${100 * candidate.probability}%` }} />
                  </span>
                  <span class="bar-value">{percent(candidate.probability)}</span>
                </button>
              </li>
            ))}
          </ol>
          <p class="hint">
            {value.prompt_tokens.toLocaleString()} tokens of prompt. Entropy {value.entropy_bits.toFixed(2)} bits: as
            unsure as a fair choice among {choices(value.entropy_bits)}.
          </p>
        </>
      )}
    </section>
  );
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 2 : 1)} %`;
}

function choices(bits: number): string {
  const count = 2 ** bits;
  return count < 10 ? count.toFixed(1) : Math.round(count).toLocaleString();
}
