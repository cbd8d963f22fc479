/**
 * Writes the toy model of random weights with its tokenizer as a Hugging Face folder, for measurements that need a model on disk.
 */
import { saveHfTokenizerFolder } from '../src/formats/tokenizer-files.ts';
import { writeHfFolder } from '../src/formats/hf-write.ts';
import { TOY_CONFIG } from '../src/infer/toy-model.ts';
import { llamaWeightShapes } from '../src/model/config.ts';
import { toyTokenizer } from '../src/server/toy-catalog.ts';
import { numValues } from '../src/tensor/dtype.ts';
import { fillNormal, randomStream } from '../src/util/rng.ts';

/** Llama 3's format without tools, as a template that any reader of Jinja takes. */
const TEMPLATE =
  '{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}<|eot_id|>{% endfor %}' +
  '{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}';

/** Creates the folder, which must not exist. */
export async function writeToyFolder(path: string, maxSeqLen = 2048): Promise<void> {
  const tokenizer = toyTokenizer();
  const config = { ...TOY_CONFIG, vocabSize: tokenizer.vocabSize, maxSeqLen };
  const bytes = new Map<string, Uint8Array>();
  const tensors = new Map(
    [...llamaWeightShapes(config)].map(([name, shape]) => {
      const values = new Float32Array(numValues(shape));
      if (shape.length === 1) values.fill(1);
      else fillNormal(values, randomStream(5, name), { std: name === 'tok_embeddings.weight' ? 0.3 : 0.2 });
      bytes.set(name, new Uint8Array(values.buffer));
      return [name, { dtype: 'F32' as const, shape, byteLength: values.byteLength, location: null }] as const;
    }),
  );
  const weights = {
    path,
    tensors,
    readRows: async (name: string, firstRow: number, target: Uint8Array) => {
      const { shape, byteLength } = tensors.get(name)!;
      const rowBytes = shape.length < 2 ? byteLength : byteLength / shape[0]!;
      target.set(bytes.get(name)!.subarray(firstRow * rowBytes, firstRow * rowBytes + target.length));
    },
    close: async () => {},
  };
  const tokenIds = { bosId: tokenizer.bosId, eosIds: [...tokenizer.stopIds], padId: tokenizer.padId };
  await writeHfFolder(
    path,
    { config, weights, tokenIds },
    {
      dtypeOf: () => 'F32',
      addFiles: (folder) => saveHfTokenizerFolder(folder, tokenizer, { chatTemplate: TEMPLATE }),
    },
  );
}
