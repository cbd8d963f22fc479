/**
 * One table of weight names: Meta's (used everywhere in this project), Hugging Face's and GGUF's, for Llama models.
 * Sources: transformers modeling_llama.py; llama.cpp gguf-py constants.py (MODEL_ARCH.LLAMA).
 */

interface WeightNameRow {
  /** `{}` stands for the layer number. */
  readonly meta: string;
  readonly hf: string;
  readonly gguf: string;
}

const ROWS: readonly WeightNameRow[] = [
  { meta: 'tok_embeddings', hf: 'model.embed_tokens', gguf: 'token_embd' },
  { meta: 'layers.{}.attention.wq', hf: 'model.layers.{}.self_attn.q_proj', gguf: 'blk.{}.attn_q' },
  { meta: 'layers.{}.attention.wk', hf: 'model.layers.{}.self_attn.k_proj', gguf: 'blk.{}.attn_k' },
  { meta: 'layers.{}.attention.wv', hf: 'model.layers.{}.self_attn.v_proj', gguf: 'blk.{}.attn_v' },
  { meta: 'layers.{}.attention.wo', hf: 'model.layers.{}.self_attn.o_proj', gguf: 'blk.{}.attn_output' },
  { meta: 'layers.{}.feed_forward.w1', hf: 'model.layers.{}.mlp.gate_proj', gguf: 'blk.{}.ffn_gate' },
  { meta: 'layers.{}.feed_forward.w2', hf: 'model.layers.{}.mlp.down_proj', gguf: 'blk.{}.ffn_down' },
  { meta: 'layers.{}.feed_forward.w3', hf: 'model.layers.{}.mlp.up_proj', gguf: 'blk.{}.ffn_up' },
  { meta: 'layers.{}.attention_norm', hf: 'model.layers.{}.input_layernorm', gguf: 'blk.{}.attn_norm' },
  { meta: 'layers.{}.ffn_norm', hf: 'model.layers.{}.post_attention_layernorm', gguf: 'blk.{}.ffn_norm' },
  { meta: 'norm', hf: 'model.norm', gguf: 'output_norm' },
  { meta: 'output', hf: 'lm_head', gguf: 'output' },
];

export type WeightNaming = keyof WeightNameRow;

/** The name of `metaName` under `naming`, or null if it is no weight of a Llama model. */
export function weightName(metaName: string, naming: WeightNaming): string | null {
  return translate(metaName, 'meta', naming);
}

/** Meta's name of a weight named by `naming`, or null if it is no weight of a Llama model. */
export function metaWeightName(name: string, naming: WeightNaming): string | null {
  return translate(name, naming, 'meta');
}

function translate(name: string, from: WeightNaming, to: WeightNaming): string | null {
  if (!name.endsWith('.weight')) return null;
  const stem = name.slice(0, -'.weight'.length);
  const layer = /\.(0|[1-9]\d{0,5})(?=\.)/.exec(stem)?.[1] ?? null;
  const pattern = layer === null ? stem : stem.replace(`.${layer}.`, '.{}.');
  const row = ROWS.find((candidate) => candidate[from] === pattern);
  if (row === undefined) return null;
  return `${layer === null ? row[to] : row[to].replace('{}', layer)}.weight`;
}
