/**
 * Inside: what a model thinks comes next, where its heads look, and what its context costs in memory.
 */
import { signal } from '@preact/signals';
import { chosenModel, modelInfo, type ModelInfo } from '../api/models.ts';
import { ModelPicker } from '../ui/model-picker.tsx';
import { useAnswer } from '../ui/use-answer.ts';
import { AttentionView } from './attention-view.tsx';
import { CacheChart } from './cache-chart.tsx';
import { NextTokenView } from './next-token-view.tsx';

const prompt = signal('ROMEO:\nBut, soft! what light through yonder');

export function InsideTab() {
  const model = chosenModel.value;
  const { value: info, error } = useAnswer(model, () => modelInfo(model!), 0);
  return (
    <div class="page">
      <div class="page-head">
        <h1>Inside</h1>
        <ModelPicker />
      </div>
      {error !== null && (
        <p class="problem" role="alert">
          {error}
        </p>
      )}
      {model !== null && <Prompt model={model} info={info} />}
    </div>
  );
}

function Prompt({ model, info }: { model: string; info: ModelInfo | null }) {
  return (
    <>
      <label class="field">
        <span>Prompt</span>
        <textarea
          class="code"
          rows={3}
          spellcheck={false}
          value={prompt.value}
          onInput={(event) => (prompt.value = event.currentTarget.value)}
        />
      </label>
      <div class="columns">
        <NextTokenView model={model} prompt={prompt.value} onChosen={(text) => (prompt.value += text)} />
        {info && <AttentionView model={model} prompt={prompt.value} config={info.config} />}
      </div>
      {info && <CacheChart model={model} info={info} />}
    </>
  );
}
