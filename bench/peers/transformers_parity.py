"""Logits and greedy continuations by Transformers in float32: `python transformers_parity.py FOLDER PROMPTS.json OUT.safetensors`.

PROMPTS.json: {"logits": [[ids], ...], "greedy": [[ids], ...], "new_tokens": N}; greedy prompts have the same length and run as one batch.
OUT: logits.0, logits.1, ... float32 [tokens, vocab]; greedy int32 [prompts, N].
"""

import json
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

folder, prompts_path, out = sys.argv[1:]
prompts = json.load(open(prompts_path))
torch.set_num_threads(2)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

with torch.no_grad():
    tensors = {f"logits.{i}": model(torch.tensor([ids])).logits[0].contiguous() for i, ids in enumerate(prompts["logits"])}
    ids = torch.tensor(prompts["greedy"])
    cache, chosen = None, []
    for _ in range(prompts["new_tokens"]):
        step = model(ids, past_key_values=cache, use_cache=True)
        cache = step.past_key_values
        ids = step.logits[:, -1].argmax(-1, keepdim=True)
        chosen.append(ids[:, 0])
    tensors["greedy"] = torch.stack(chosen, 1).int().contiguous()
save_file(tensors, out)
