/**
 * Writing a Llama model as a GGUF file that llama.cpp, Ollama and we load. Weights stream from any checkpoint.
 */
import { llamaWeightShapes, type LlamaConfig } from '../model/config.ts';
import { invariant } from '../util/errors.ts';
import { ggufConfigMetadata, ROPE_FACTORS_TENSOR, ropeFactors } from './gguf-config.ts';
import type { GgufValue } from './gguf-header.ts';
import { GGUF_TYPE_ROWS, ggufTensorType, type GgufTypeName } from './gguf-types.ts';
import { writeGguf, type GgufTensorToWrite } from './gguf-write.ts';
import { streamTensor, type Encode } from './stream-tensor.ts';
import type { TensorSource } from './tensor-source.ts';
import { weightName } from './weight-names.ts';

export interface GgufWriteOptions {
  readonly type: GgufTypeName;
  /** Further metadata: `general.name`, everything under `tokenizer.`. Keys that follow from the model are set here. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** How float32 becomes the stored type; by default on this thread. */
  readonly encode?: Encode;
}

/** Creates or replaces the file `path`. */
export async function writeGgufModel(
  path: string,
  model: { readonly config: LlamaConfig; readonly weights: TensorSource },
  options: GgufWriteOptions,
): Promise<void> {
  const { config, weights } = model;
  const metadata = new Map([
    ...ggufConfigMetadata(config),
    ['general.file_type', { type: 'uint32', value: GGUF_TYPE_ROWS[options.type].fileType }] as const,
    ['general.quantization_version', { type: 'uint32', value: 2 }] as const,
  ]);
  for (const [key, value] of options.metadata) if (!metadata.has(key)) metadata.set(key, value);
  const tensors: GgufTensorToWrite[] = [...llamaWeightShapes(config)].map(([metaName, shape]) => {
    const name = weightName(metaName, 'gguf');
    invariant(name !== null, `internal: no GGUF name for ${metaName}`);
    const dtype = ggufTensorType(options.type, metaName, shape.at(-1)!, config);
    const chunks = () => streamTensor(weights, metaName, dtype, options.encode);
    return { name, dtype, shape, chunks };
  });
  if (config.ropeScaling !== null) {
    const factors = ropeFactors(config.ropeScaling, config.ropeTheta, config.headDim);
    const chunks = () => [new Uint8Array(factors.buffer)];
    tensors.unshift({ name: ROPE_FACTORS_TENSOR, dtype: 'F32', shape: [factors.length], chunks });
  }
  await writeGguf(path, metadata, tensors);
}
