"""Loads a Hugging Face folder written by cria in transformers and compares its float32 logits with known ones.

python bench/peers/check_hf_folder.py FOLDER EXPECTED.safetensors   (tensors `tokens` and `logits`)
"""
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

model, info = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, output_loading_info=True)
assert not any(info.values()), info
expected = load_file(sys.argv[2])
tokens = expected["tokens"]
with torch.no_grad():
    logits = model(tokens if tokens.dim() == 2 else tokens[None]).logits
difference = (logits.reshape(expected["logits"].shape) - expected["logits"]).abs().max().item()
print(f"{sys.argv[1]}: largest difference of logits {difference:.3g}")
assert difference < 1e-4
