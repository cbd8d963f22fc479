/**
 * Models: what is on the machine, getting more, and what each is made of.
 */
import { useEffect, useState } from 'preact/hooks';
import { chooseModel, chosenModel } from '../api/models.ts';
import { messageOf } from '../api/http.ts';
import { goTo } from '../route.ts';
import { bytesText } from '../ui/bytes-text.ts';
import { Dialog } from '../ui/dialog.tsx';
import { Icon } from '../ui/icon.tsx';
import { deleteModel, inMemory, installed, type InstalledModel, listError, refreshInstalled } from './installed.ts';
import { ModelFacts } from './model-facts.tsx';
import { PullForm } from './pull-form.tsx';

export function ModelsTab() {
  useEffect(() => void refreshInstalled(), []);
  const models = installed.value;
  return (
    <div class="page">
      <div class="page-head">
        <h1>Models</h1>
      </div>
      {listError.value !== null && (
        <p class="problem" role="alert">
          {listError.value}{' '}
          <button class="link" type="button" onClick={() => void refreshInstalled()}>
            Try again
          </button>
        </p>
      )}
      <PullForm />
      <section aria-label="Installed models">
        {models?.length === 0 && <p class="hint">There is no model on this machine yet.</p>}
        <ul class="models">
          {models?.map((model) => (
            <ModelEntry key={model.name} model={model} />
          ))}
        </ul>
      </section>
    </div>
  );
}

function ModelEntry({ model }: { model: InstalledModel }) {
  const [isOpen, setIsOpen] = useState(false);
  const [asksDelete, setAsksDelete] = useState(false);
  const { name, size, details } = model;
  const facts = [
    details?.parameter_size && `${details.parameter_size} parameters`,
    details?.quantization_level,
    size > 0 && bytesText(size),
    details?.format,
  ];
  return (
    <li class="card model">
      <div class="model-head">
        <div>
          <h2>{name}</h2>
          <p class="hint">
            {facts.filter(Boolean).join(' · ')}
            {inMemory.value.has(name) && <span class="badge">in memory</span>}
          </p>
        </div>
        <div class="row-end">
          <button
            class="plain"
            type="button"
            aria-label={`Chat with ${name}`}
            aria-current={chosenModel.value === name}
            onClick={() => {
              chooseModel(name);
              goTo('chat');
            }}
          >
            Chat
          </button>
          <button
            class="plain"
            type="button"
            aria-label={`Inspect ${name}`}
            aria-expanded={isOpen}
            onClick={() => setIsOpen(!isOpen)}
          >
            Inspect
          </button>
          <button
            class="ghost"
            type="button"
            aria-label={`Delete ${name}`}
            title="Delete"
            onClick={() => setAsksDelete(true)}
          >
            <Icon name="trash" />
          </button>
        </div>
      </div>
      {isOpen && <ModelFacts name={name} />}
      {asksDelete && <DeleteDialog name={name} onClose={() => setAsksDelete(false)} />}
    </li>
  );
}

function DeleteDialog({ name, onClose }: { name: string; onClose: () => void }) {
  const [error, setError] = useState<string | null>(null);
  const remove = () => deleteModel(name).then(onClose, (reason: unknown) => setError(messageOf(reason)));
  return (
    <Dialog title="Delete this model?" onClose={onClose}>
      <p>The files of {name} are removed from this machine.</p>
      {error !== null && (
        <p class="problem" role="alert">
          {error}
        </p>
      )}
      <div class="row-end">
        <button class="plain" type="button" autoFocus onClick={onClose}>
          Keep
        </button>
        <button class="danger" type="button" onClick={() => void remove()}>
          Delete
        </button>
      </div>
    </Dialog>
  );
}
