/**
 * In which types the weights of a checkpoint are kept: as they are stored where panels hold that exactly, else in the next wider type.
 * Says in one sentence what that means for the weights.
 */
import { isPlainDType, type StoredDType } from '../formats/stored-dtype.ts';
import { tensorInfo, type TensorSource } from '../formats/tensor-source.ts';
import type { LlamaConfig } from '../model/config.ts';
import { PANEL_OF_BLOCKS } from '../runtime/backend.ts';
import type { QuantisedDType } from '../tensor/dtype.ts';
import type { Precision } from '../tensor/operators.ts';
import { type WeightForm, type WeightStates, weightStates, weightStatesBy } from './weight-states.ts';
import { precisionOf, type WeightType } from './weight-type.ts';

type BlockDType = Extract<StoredDType, `Q${string}` | `IQ${string}`>;

interface PanelChoice {
  readonly panel: QuantisedDType;
  readonly isExact: boolean;
}

const exactly = (panel: QuantisedDType): PanelChoice => ({ panel, isExact: true });
// Their blocks of 16 values, fifth and sixth bits or minima have no panel: 8 bits round them by at most 1/254 of the block's largest value.
const WIDENED: PanelChoice = { panel: 'panel_q8', isExact: false };

/** The panel for each block type of GGUF files. */
export const PANEL_CHOICES: Readonly<Record<BlockDType, PanelChoice>> = {
  Q4_0: exactly(PANEL_OF_BLOCKS.Q4_0),
  Q4_1: exactly(PANEL_OF_BLOCKS.Q4_1),
  Q5_0: exactly(PANEL_OF_BLOCKS.Q5_0),
  Q8_0: exactly(PANEL_OF_BLOCKS.Q8_0),
  Q4_K: exactly(PANEL_OF_BLOCKS.Q4_K),
  IQ4_NL: exactly('panel_q8'),
  Q5_1: WIDENED,
  Q2_K: WIDENED,
  Q3_K: WIDENED,
  Q5_K: WIDENED,
  Q6_K: WIDENED,
  IQ4_XS: WIDENED,
};

/** How the weights of a checkpoint are kept in memory. */
export interface KeptWeights {
  readonly form: WeightForm;
  readonly types: WeightStates;
  readonly precision: Precision;
  /** One sentence on what is kept and what is rounded; null where there is nothing to say. */
  readonly notice: string | null;
}

/** Types for the weights of `source`: those of one form, or as they are stored. */
export function keptWeights(config: LlamaConfig, source: TensorSource, wanted: WeightType | 'stored'): KeptWeights {
  const counts = matrixCounts(config, source);
  const isQuantised = [...counts.keys()].some((dtype) => !isPlainDType(dtype));
  if (wanted !== 'stored') {
    const isRounded = wanted !== 'f32' && (isQuantised || wanted === 'q8' || wanted === 'q4');
    const notice = isRounded ? `weights: ${rendered([...counts])} converted to ${wanted}` : null;
    return { form: wanted, types: weightStates(config, wanted), precision: precisionOf(wanted), notice };
  }
  if (!isQuantised) return keptWeights(config, source, [...counts.keys()].every((d) => d === 'BF16') ? 'bf16' : 'f32');
  const types = weightStatesBy(config, (name, use) => {
    const { dtype } = tensorInfo(source, name);
    if (!isPlainDType(dtype)) return PANEL_CHOICES[dtype as BlockDType].panel;
    return use !== 'lookedUp' ? 'panel_f32' : dtype === 'BF16' ? 'bf16' : 'f32';
  });
  return { form: 'stored', types, precision: 'f32', notice: storedNotice(counts) };
}

function isWidened([dtype]: readonly [StoredDType, number]): boolean {
  return !isPlainDType(dtype) && !PANEL_CHOICES[dtype as BlockDType].isExact;
}

function storedNotice(counts: ReadonlyMap<StoredDType, number>): string {
  const widened = [...counts].filter(isWidened);
  const kept = [...counts].filter((entry) => !isWidened(entry));
  const parts = [
    ...(kept.length > 0 ? [`${rendered(kept)} kept exactly as stored`] : []),
    ...(widened.length > 0 ? [`${rendered(widened)} rounded to q8, the next wider type`] : []),
  ];
  return `weights: ${parts.join('; ')}`;
}

/** How many matrices there are of each stored type. */
function matrixCounts(config: LlamaConfig, source: TensorSource): Map<StoredDType, number> {
  const counts = new Map<StoredDType, number>();
  for (const [name, { shape }] of weightStates(config, 'f32')) {
    const { dtype } = tensorInfo(source, name);
    if (shape.length > 1) counts.set(dtype, (counts.get(dtype) ?? 0) + 1);
  }
  return counts;
}

function rendered(counts: readonly (readonly [StoredDType, number])[]): string {
  return counts.map(([dtype, count]) => `${count} x ${dtype}`).join(', ');
}
