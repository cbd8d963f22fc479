/**
 * Memory of the KV cache as the context grows, with grouped-query attention and without it. The formula is the engine's own.
 */
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { KV_TYPES, kvCacheBytes, type KvType } from '../../../src/infer/kv-cache.ts';
import { sizeConfig, sizeNames } from '../../../src/model/sizes.ts';
import type { ModelInfo } from '../api/models.ts';
import { scheme } from '../theme.ts';
import { bytesText } from '../ui/bytes-text.ts';

const size = signal('');
const kvType = signal<KvType>('f16');

type Shape = Pick<ModelInfo['config'], 'numLayers' | 'numHeads' | 'numKvHeads' | 'headDim' | 'maxSeqLen'>;

export function CacheChart({ model, info }: { model: string; info: ModelInfo }) {
  const shape: Shape = size.value === '' ? info.config : sizeConfig(size.value);
  const type = kvType.value;
  const without = { ...shape, numKvHeads: shape.numHeads };
  const ratio = shape.numHeads / shape.numKvHeads;
  const most = shape.maxSeqLen;
  return (
    <section class="card" aria-label="KV cache">
      <h2>KV cache</h2>
      <div class="inline-fields">
        <label class="field inline">
          <span>Model</span>
          <select value={size.value} onChange={(event) => (size.value = event.currentTarget.value)}>
            <option value="">{model}</option>
            {sizeNames.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label class="field inline">
          <span>Type</span>
          <select value={type} onChange={(event) => (kvType.value = event.currentTarget.value as KvType)}>
            {KV_TYPES.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      </div>
      <p>
        At {most.toLocaleString()} tokens the keys and values take{' '}
        <b>{bytesText(kvCacheBytes(shape, type, most, 1))}</b> with {shape.numKvHeads} kv heads;{' '}
        {ratio === 1
          ? 'every query head has its own.'
          : `with one for each of the ${shape.numHeads} query heads it would be ${bytesText(kvCacheBytes(without, type, most, 1))}, ${ratio} times as much.`}
      </p>
      <Chart shape={shape} type={type} />
    </section>
  );
}

const NUM_POINTS = 65;
/** Steps between marks of an axis: contexts and sizes in memory are powers of two. */
const MARK_STEPS = Array.from({ length: 48 }, (_, i) => 2 ** i);
const HEIGHT_PX = 260;

function Chart({ shape, type }: { shape: Shape; type: KvType }) {
  const box = useRef<HTMLDivElement>(null);
  const colours = scheme.value;
  useEffect(() => {
    const element = box.current!;
    const chart = new uPlot(optionsFor(element), dataOf(shape, type), element);
    const observer = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT_PX }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.destroy();
    };
  }, [shape, type, colours]);
  return (
    <div ref={box} class="chart" role="img" aria-label="Memory of the KV cache against the length of the context" />
  );
}

function dataOf(shape: Shape, type: KvType): uPlot.AlignedData {
  const lengths = Array.from({ length: NUM_POINTS }, (_, i) => Math.round((shape.maxSeqLen * i) / (NUM_POINTS - 1)));
  const bytes = (numKvHeads: number) =>
    lengths.map((length) => kvCacheBytes({ ...shape, numKvHeads }, type, length, 1));
  return [lengths, bytes(shape.numKvHeads), bytes(shape.numHeads)];
}

function optionsFor(element: HTMLElement): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour('--ink-3'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
    incrs: MARK_STEPS,
    font: `12px ${colour('--sans')}`,
  };
  return {
    width: element.clientWidth,
    height: HEIGHT_PX,
    scales: { x: { time: false } },
    cursor: { drag: { x: false, y: false } },
    axes: [
      { ...axis, values: (_, ticks) => ticks.map((tick) => tick.toLocaleString()), space: 80 },
      { ...axis, values: (_, ticks) => ticks.map((tick) => bytesText(tick)), size: 72 },
    ],
    series: [
      { label: 'Tokens', value: (_, tokens) => (tokens === null ? '–' : tokens.toLocaleString()) },
      { label: 'Grouped queries', stroke: colour('--accent'), width: 2, points: { show: false }, value },
      {
        label: 'One kv head per query head',
        stroke: colour('--ink-3'),
        width: 2,
        dash: [6, 4],
        points: { show: false },
        value,
      },
    ],
  };
}

function value(_: uPlot, bytes: number | null): string {
  return bytes === null ? '–' : bytesText(bytes);
}
