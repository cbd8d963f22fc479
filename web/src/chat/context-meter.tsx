/**
 * How much of the model's context the conversation fills, as of its last reply.
 */
import { useEffect, useState } from 'preact/hooks';
import { chosenModel, modelInfo } from '../api/models.ts';
import { openMessages } from './chat-state.ts';

export function ContextMeter() {
  const model = chosenModel.value;
  const [context, setContext] = useState<number | null>(null);
  const last = openMessages.value.findLast(({ reply }) => reply?.tokens !== null && reply !== null)?.reply;
  useEffect(() => {
    setContext(null);
    if (model === null || !last) return;
    modelInfo(model).then(
      (info) => setContext(info.context_length),
      () => {}, // whoever asks for a reply learns of it
    );
  }, [model, last !== undefined]);
  if (!last || context === null) return null;
  const used = (last.promptTokens ?? 0) + (last.tokens ?? 0);
  return (
    <span class="meter">
      <meter min={0} max={context} value={used} aria-label="Context in use" />
      {used.toLocaleString()} of {context.toLocaleString()} tokens
    </span>
  );
}
