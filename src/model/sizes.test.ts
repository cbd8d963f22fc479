import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError } from '../util/errors.ts';
import { numValues } from '../tensor/dtype.ts';
import { type Graph, trace } from '../tensor/graph.ts';
import { llamaHidden, llamaLogits } from './llama3.ts';
import { sizeConfig } from './sizes.ts';
import { ROPE_TABLE, trainingContext } from './training-step.ts';

const batch = { numTokens: 8, numSegments: 1, numBlocks: 1 };

/** Parameters of a traced model: all its states but the rotary table. Nothing is allocated. */
function numParameters(graph: Graph): number {
  return graph.states.filter(({ name }) => name !== ROPE_TABLE).reduce((sum, { shape }) => sum + numValues(shape), 0);
}

function traceLogits(size: string): Graph {
  const config = sizeConfig(size);
  return trace((t) => {
    const context = trainingContext(t, config, batch, 'f32');
    t.output('logits', llamaLogits(llamaHidden(t.input('tokens', 'i32', [batch.numTokens]), context), context));
  });
}

describe('model sizes', () => {
  // Parameter counts: the safetensors totals of the published checkpoints (meta-llama on Hugging Face).
  const published: Record<string, number> = {
    'llama3-8b': 8_030_261_248,
    'llama3.1-8b': 8_030_261_248,
    'llama3-70b': 70_553_706_496,
    'llama3.1-405b': 405_853_388_800,
    'llama3.2-1b': 1_235_814_400,
    'llama3.2-3b': 3_212_749_824,
    'smollm2-135m': 134_515_008,
  };
  for (const [size, parameters] of Object.entries(published)) {
    it(`${size} traces to ${parameters} parameters`, () => {
      assert.equal(numParameters(traceLogits(size)), parameters);
    });
  }

  it('has the feed-forward sizes of the released weights, not those of the first print of the report', () => {
    assert.deepEqual(
      ['llama3-8b', 'llama3-70b', 'llama3.1-405b', 'llama3.2-1b', 'llama3.2-3b'].map((size) => sizeConfig(size).ffnDim),
      [14336, 28672, 53248, 8192, 8192],
    );
  });

  it('names the known sizes when it does not know one', () => {
    assert.throws(
      () => sizeConfig('llama3-9b'),
      (error: Error) => error instanceof ConfigError && error.message.includes('llama3-8b'),
    );
    assert.throws(() => sizeConfig('toString'), ConfigError);
  });
});
