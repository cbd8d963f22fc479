/**
 * The choice of a model, and what is wrong where there is none.
 */
import { waitingFor } from '../api/http.ts';
import { chooseModel, chosenModel, modelNames, modelsError, refreshModels } from '../api/models.ts';
import { goTo } from '../route.ts';

/** One choice for the whole page. */
export function ModelPicker() {
  const names = modelNames.value;
  if (modelsError.value !== null) {
    return (
      <p class="problem" role="alert">
        {modelsError.value}{' '}
        <button class="link" type="button" onClick={() => void refreshModels()}>
          Try again
        </button>
      </p>
    );
  }
  if (names === null) return <span class="hint">Looking for models…</span>;
  if (names.length === 0) {
    return (
      <button class="link" type="button" onClick={() => goTo('models')}>
        There is no model yet. Get one
      </button>
    );
  }
  return (
    <span class="picker">
      <select
        aria-label="Model"
        value={chosenModel.value ?? ''}
        onChange={(event) => chooseModel(event.currentTarget.value)}
      >
        {names.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
      {waitingFor.value !== null && (
        <span class="hint" role="status">
          Loading…
        </span>
      )}
    </span>
  );
}
