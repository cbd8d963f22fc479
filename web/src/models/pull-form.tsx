/**
 * Getting a model by its name on the hub, with its progress.
 */
import { bytesText } from '../ui/bytes-text.ts';
import { type Pull, pull, pullModel, stopPull } from './installed.ts';

export function PullForm() {
  const current = pull.value;
  const isRunning = current !== null && !current.isOver;
  return (
    <section class="card" aria-label="Get a model">
      <form class="pull" onSubmit={submit}>
        <label class="field">
          <span>Get a model</span>
          <input
            name="name"
            placeholder="HuggingFaceTB/SmolLM2-135M-Instruct"
            autocomplete="off"
            spellcheck={false}
            required
            disabled={isRunning}
          />
        </label>
        {isRunning ? (
          <button class="plain" type="button" onClick={stopPull}>
            Stop
          </button>
        ) : (
          <button class="primary" type="submit">
            Get
          </button>
        )}
      </form>
      <p class="hint">
        A name on the Hugging Face hub of a Llama model. The server downloads it; this page loads nothing from
        elsewhere.
      </p>
      {current && <Progress pull={current} />}
    </section>
  );
}

function Progress({ pull: { name, status, share, doneBytes, totalBytes, error, isOver } }: { pull: Pull }) {
  if (error !== null) {
    return (
      <p class="problem" role="alert">
        {name}: {error}
      </p>
    );
  }
  return (
    <div class="progress" role="status">
      <progress max={1} value={share ?? undefined} aria-label={`Download of ${name}`} />
      <p class="hint">
        {isOver
          ? `${name} is there.`
          : `${name}: ${status}${totalBytes > 0 ? `, ${bytesText(doneBytes)} of ${bytesText(totalBytes)}` : ''}`}
      </p>
    </div>
  );
}

function submit(event: SubmitEvent): void {
  event.preventDefault();
  const name = String(new FormData(event.target as HTMLFormElement).get('name') ?? '').trim();
  if (name !== '') void pullModel(name);
}
