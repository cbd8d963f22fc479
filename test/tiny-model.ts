/**
 * A model of random weights in a folder, small enough to load in a moment, with a tokenizer of its own.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { criaParamsJson } from '../src/formats/meta-params.ts';
import { tensorInMemory, writeSafetensors } from '../src/formats/safetensors-write.ts';
import { saveTokenizerFolder } from '../src/formats/tokenizer-files.ts';
import { llamaWeightShapes } from '../src/model/config.ts';
import { sizeConfig } from '../src/model/sizes.ts';
import { numValues } from '../src/tensor/dtype.ts';
import { trainBpe } from '../src/tokenizer/train-bpe.ts';
import { fillNormal, randomStream } from '../src/util/rng.ts';

/** Writes it to `folder`, which is created. */
export async function writeTinyModel(folder: string): Promise<void> {
  const tokenizer = trainBpe(['the theory of the thing is in the thing '], { vocabSize: 280 });
  const config = { ...sizeConfig('tiny'), vocabSize: tokenizer.vocabSize, maxSeqLen: 300 };
  const tensors = [...llamaWeightShapes(config)].map(([name, shape]) => {
    const values = new Float32Array(numValues(shape)).fill(1);
    if (shape.length > 1) fillNormal(values, randomStream(1, name), { std: 0.1 });
    return tensorInMemory(name, 'F32', shape, values);
  });
  await saveTokenizerFolder(folder, tokenizer);
  await writeSafetensors(join(folder, 'model.safetensors'), tensors);
  writeFileSync(join(folder, 'params.json'), JSON.stringify(criaParamsJson(config)));
}
