/**
 * What a model is made of: its sizes, its chat template, and what its files say.
 */
import { useAnswer } from '../ui/use-answer.ts';
import { type ModelCard, modelCard } from './installed.ts';

export function ModelFacts({ name }: { name: string }) {
  const { value, error } = useAnswer<ModelCard>(name, (signal) => modelCard(name, signal), 0);
  if (error !== null) return <p class="problem">{error}</p>;
  if (value === null) return <p class="hint">Reading…</p>;
  const facts = Object.entries(value.model_info ?? {}).filter(([, fact]) => fact !== null && !isLong(fact));
  return (
    <div class="model-facts">
      {facts.length > 0 && (
        <dl>
          {facts.map(([key, fact]) => (
            <div key={key}>
              <dt>{key}</dt>
              <dd>{factText(fact)}</dd>
            </div>
          ))}
        </dl>
      )}
      {value.template && (
        <details>
          <summary>Chat template</summary>
          <pre class="template" tabIndex={0}>
            {value.template}
          </pre>
        </details>
      )}
    </div>
  );
}

const MAX_DIGITS = 6; // of fractions; they come from 32 bits

function factText(fact: unknown): string {
  if (typeof fact !== 'number') return String(fact);
  return Number.isInteger(fact) ? fact.toLocaleString() : String(Number(fact.toPrecision(MAX_DIGITS)));
}

const MAX_FACT_CHARS = 200;

/** Vocabularies and the like are not for reading. */
function isLong(fact: unknown): boolean {
  return typeof fact === 'object' || String(fact).length > MAX_FACT_CHARS;
}
