/**
 * Asks for the API key of a server that wants one.
 */
import { apiKeyWanted, hasApiKey, setApiKey } from '../api/http.ts';
import { Dialog } from './dialog.tsx';

export function ApiKeyDialog() {
  return (
    <Dialog title="This server wants an API key" onClose={() => (apiKeyWanted.value = false)}>
      <form onSubmit={submit} class="stack">
        <label class="field">
          <span>API key</span>
          <input name="key" type="password" autocomplete="off" required autoFocus />
        </label>
        {hasApiKey() && (
          <p class="problem" role="alert">
            The key that was given is refused.
          </p>
        )}
        <p class="hint">It is kept in this browser and sent to this server alone.</p>
        <button class="primary" type="submit">
          Use this key
        </button>
      </form>
    </Dialog>
  );
}

function submit(event: SubmitEvent): void {
  event.preventDefault();
  setApiKey(String(new FormData(event.target as HTMLFormElement).get('key') ?? ''));
  location.reload();
}
