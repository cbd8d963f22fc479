"""Writes one toy Llama in every layout with the original tools, under test/fixtures/formats/.

toy.safetensors       Meta's names and rotary layout, bfloat16, and float32 `logits` of transformers for `tokens`
toy-hf/               transformers save_pretrained, sharded, llama3 rope scaling
toy-meta/             params.json + consolidated.00.pth, torch.save
toy-meta-mp4/         the same split as Meta's model-parallel code does, four ranks

Run from the repository root: python bench/peers/checkpoint_fixtures.py
"""
import json
import os
import shutil

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

ROOT = "test/fixtures/formats"
DIM, LAYERS, HEADS, KV_HEADS, VOCAB, FFN = 32, 2, 8, 4, 48, 88
HEAD_DIM = DIM // HEADS

torch.manual_seed(3)


def random(*shape):
    return (torch.randn(*shape) * 0.2).to(torch.bfloat16)


weights = {"tok_embeddings.weight": random(VOCAB, DIM)}
for i in range(LAYERS):
    p = f"layers.{i}."
    weights[p + "attention.wq.weight"] = random(DIM, DIM)
    weights[p + "attention.wk.weight"] = random(KV_HEADS * HEAD_DIM, DIM)
    weights[p + "attention.wv.weight"] = random(KV_HEADS * HEAD_DIM, DIM)
    weights[p + "attention.wo.weight"] = random(DIM, DIM)
    weights[p + "feed_forward.w1.weight"] = random(FFN, DIM)
    weights[p + "feed_forward.w2.weight"] = random(DIM, FFN)
    weights[p + "feed_forward.w3.weight"] = random(FFN, DIM)
    weights[p + "attention_norm.weight"] = 1 + random(DIM)
    weights[p + "ffn_norm.weight"] = 1 + random(DIM)
weights["norm.weight"] = 1 + random(DIM)
weights["output.weight"] = random(VOCAB, DIM)


# transformers/models/llama/convert_llama_weights_to_hf.py
def permute(w, n_heads):
    return w.view(n_heads, w.shape[0] // n_heads // 2, 2, DIM).transpose(1, 2).reshape(w.shape[0], DIM)


hf_names = {
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
hf = {
    "model.embed_tokens.weight": weights["tok_embeddings.weight"],
    "model.norm.weight": weights["norm.weight"],
    "lm_head.weight": weights["output.weight"],
}
for i in range(LAYERS):
    for meta, name in hf_names.items():
        w = weights[f"layers.{i}.{meta}.weight"]
        if meta == "attention.wq":
            w = permute(w, HEADS)
        if meta == "attention.wk":
            w = permute(w, KV_HEADS)
        hf[f"model.layers.{i}.{name}.weight"] = w

config = LlamaConfig(
    vocab_size=VOCAB,
    hidden_size=DIM,
    intermediate_size=FFN,
    num_hidden_layers=LAYERS,
    num_attention_heads=HEADS,
    num_key_value_heads=KV_HEADS,
    max_position_embeddings=131072,
    rms_norm_eps=1e-5,
    rope_parameters={
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    bos_token_id=1,
    eos_token_id=[2, 3],
    tie_word_embeddings=False,
    dtype=torch.bfloat16,
)
model = LlamaForCausalLM(config).to(torch.bfloat16)
model.load_state_dict(hf, strict=True)
shutil.rmtree(f"{ROOT}/toy-hf", ignore_errors=True)
model.save_pretrained(f"{ROOT}/toy-hf", max_shard_size="20KB")

tokens = torch.tensor([[1, 5, 40, 7, 7, 23, 11, 2]])
# loaded anew: casting a model to bfloat16 would also have rounded its rotary frequencies
with torch.no_grad():
    logits = LlamaForCausalLM.from_pretrained(f"{ROOT}/toy-hf", dtype=torch.float32)(tokens).logits[0]
save_file({**weights, "logits": logits, "tokens": tokens[0]}, f"{ROOT}/toy.safetensors")

params = {
    "dim": DIM,
    "n_layers": LAYERS,
    "n_heads": HEADS,
    "n_kv_heads": KV_HEADS,
    "vocab_size": VOCAB,
    "multiple_of": 8,
    "ffn_dim_multiplier": 1.0,
    "norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "use_scaled_rope": True,
}
# fairscale: column-parallel weights are split by rows, row-parallel ones by columns; llama/model.py says which is which
COLUMN = ("wq", "wk", "wv", "w1", "w3", "output", "tok_embeddings")
ROW = ("wo", "w2")


def rank_part(name, w, rank, size):
    kind = name.split(".")[-2]
    if kind in COLUMN:
        return w.chunk(size, 0)[rank].clone()
    if kind in ROW:
        return w.chunk(size, 1)[rank].clone()
    return w


for folder, size in (("toy-meta", 1), ("toy-meta-mp4", 4)):
    os.makedirs(f"{ROOT}/{folder}", exist_ok=True)
    with open(f"{ROOT}/{folder}/params.json", "w") as f:
        json.dump(params, f)
    for rank in range(size):
        part = {name: rank_part(name, w, rank, size) for name, w in weights.items()}
        part["rope.freqs"] = torch.zeros(HEAD_DIM // 2, dtype=torch.bfloat16)
        torch.save(part, f"{ROOT}/{folder}/consolidated.{rank:02d}.pth")
