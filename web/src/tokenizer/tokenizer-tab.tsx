/**
 * Tokenizer: a text or a conversation as tokens, how a word is merged, and the same text in another vocabulary.
 */
import { signal } from '@preact/signals';
import { chatTokens, type PlacedToken, type ShownMessage, type ShownToken, textTokens } from '../api/inside.ts';
import { chosenModel, modelInfo, modelNames } from '../api/models.ts';
import { copyText } from '../ui/copy-text.ts';
import { ModelPicker } from '../ui/model-picker.tsx';
import { useAnswer } from '../ui/use-answer.ts';
import { ConversationEditor } from './conversation-editor.tsx';
import { MergeView, mergedWord } from './merge-view.tsx';
import { Counts, TokenStrip } from './token-strip.tsx';

const SAMPLE = `ROMEO:
But, soft! what light through yonder window breaks?
It is the east, and Juliet is the sun.

Tokens split naïve words, numbers like 31415926, and 🦙 too.`;

const mode = signal<'text' | 'chat'>('text');
const text = signal(SAMPLE);
const messages = signal<readonly ShownMessage[]>([
  { role: 'system', content: 'Answer briefly.' },
  { role: 'user', content: 'How does a llama greet?' },
]);
const options = signal({ special: false, bos: false, signs: false, prompt: true });
const otherModel = signal('');

export function TokenizerTab() {
  const model = chosenModel.value;
  return (
    <div class="page">
      <div class="page-head">
        <h1>Tokenizer</h1>
        <ModelPicker />
      </div>
      {model !== null && <Workbench model={model} />}
    </div>
  );
}

function Workbench({ model }: { model: string }) {
  const { signs } = options.value;
  const source = mode.value === 'text' ? text.value : null;
  const other = otherModel.value;
  const answer = useTokens(model);
  const compared = useTokens(other === '' || other === model ? null : other);
  return (
    <div class="columns workbench">
      <section class="stack area-input" aria-label="Input">
        <Modes />
        {mode.value === 'text' ? (
          <textarea
            class="wide code"
            rows={9}
            aria-label="Text"
            spellcheck={false}
            value={text.value}
            onInput={(event) => (text.value = event.currentTarget.value)}
          />
        ) : (
          <ConversationEditor messages={messages.value} onChange={(changed) => (messages.value = changed)} />
        )}
        <Options />
        <SpecialTokens model={model} />
      </section>
      <section class="stack area-tokens" aria-label="Tokens" aria-busy={answer.isPending}>
        {answer.error !== null && (
          <p class="problem" role="alert">
            {answer.error}
          </p>
        )}
        {answer.value && (
          <>
            <Counts tokens={answer.value.tokens} />
            <TokenStrip
              tokens={answer.value.tokens}
              source={source}
              shows={signs}
              label={`Tokens of ${model}`}
              onChosen={(word) => (mergedWord.value = word)}
            />
            <Ids tokens={answer.value.tokens} />
          </>
        )}
        {(modelNames.value?.length ?? 0) > 1 && <OtherPicker model={model} />}
        {compared.error !== null && <p class="problem">{compared.error}</p>}
        {compared.value && (
          <>
            <Counts tokens={compared.value.tokens} against={answer.value?.tokens.length ?? null} />
            <TokenStrip tokens={compared.value.tokens} source={source} shows={signs} label={`Tokens of ${other}`} />
          </>
        )}
      </section>
      <MergeView model={model} />
    </div>
  );
}

/** The tokens of what is typed, by a model's tokenizer. */
function useTokens(model: string | null) {
  const { special, bos, prompt } = options.value;
  const isText = mode.value === 'text';
  const asText = { text: text.value, special, bos };
  const asChat = { messages: messages.value, generation_prompt: prompt };
  const key = model === null ? null : JSON.stringify([model, isText ? asText : asChat]);
  return useAnswer<{ tokens: (PlacedToken | ShownToken)[] }>(key, (stop) =>
    isText ? textTokens({ model: model!, ...asText }, stop) : chatTokens({ model: model!, ...asChat }, stop),
  );
}

function Modes() {
  return (
    <div class="segments" role="group" aria-label="What is tokenized">
      {(['text', 'chat'] as const).map((one) => (
        <button key={one} type="button" aria-pressed={mode.value === one} onClick={() => (mode.value = one)}>
          {one === 'text' ? 'Text' : 'Conversation'}
        </button>
      ))}
    </div>
  );
}

function Options() {
  const isText = mode.value === 'text';
  return (
    <div class="checks">
      <Check name="signs" label="Show white space" />
      {isText && <Check name="special" label="Names of special tokens become tokens" />}
      {isText && <Check name="bos" label="Begin with the beginning-of-text token" />}
      {!isText && <Check name="prompt" label="End with the header of a reply" />}
    </div>
  );
}

function Check({ name, label }: { name: keyof typeof options.value; label: string }) {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={options.value[name]}
        onChange={(event) => (options.value = { ...options.value, [name]: event.currentTarget.checked })}
      />
      {label}
    </label>
  );
}

const MAX_LISTED_IDS = 2000;

function Ids({ tokens }: { tokens: readonly ShownToken[] }) {
  const ids = tokens.map(({ id }) => id);
  const shown = ids.slice(0, MAX_LISTED_IDS).join(', ');
  return (
    <details class="ids">
      <summary>Ids</summary>
      <p class="code" data-testid="ids">
        {shown}
        {ids.length > MAX_LISTED_IDS && '…'}
      </p>
      <button class="link" type="button" onClick={(event) => void copyText(JSON.stringify(ids), event.currentTarget)}>
        Copy ids
      </button>
    </details>
  );
}

function OtherPicker({ model }: { model: string }) {
  const names = modelNames.value!.filter((name) => name !== model);
  return (
    <label class="field inline">
      <span>Compare with</span>
      <select value={otherModel.value} onChange={(event) => (otherModel.value = event.currentTarget.value)}>
        <option value="">nothing</option>
        {names.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </label>
  );
}

/** The special tokens there are; pressing one puts its name into the text. */
function SpecialTokens({ model }: { model: string }) {
  const { value } = useAnswer(model, () => modelInfo(model), 0);
  const named = value?.special_tokens.filter(({ text: name }) => !name.includes('reserved')) ?? [];
  if (named.length === 0) return null;
  return (
    <details>
      <summary>Special tokens ({value!.special_tokens.length})</summary>
      <ul class="special-tokens">
        {named.map(({ id, text: name }) => (
          <li key={id}>
            <button
              type="button"
              title={`Put ${name} into the text`}
              onClick={() => {
                text.value += name;
                options.value = { ...options.value, special: true };
              }}
            >
              <code>{name}</code> {id}
            </button>
          </li>
        ))}
      </ul>
    </details>
  );
}
