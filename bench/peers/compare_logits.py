"""Whether Transformers sees the same model in a Hugging Face folder written by cria and in the GGUF file it came from,
which Transformers reads with code of its own: prints the number of weights, and the largest differences of weights and of logits.

python bench/peers/compare_logits.py FOLDER SOURCE.gguf
"""
import json
import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, source = sys.argv[1:]
ours, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
assert not any(info.values()), info
theirs = AutoModelForCausalLM.from_pretrained(os.path.dirname(source), gguf_file=os.path.basename(source), dtype=torch.float32)
expected = theirs.state_dict()
assert ours.state_dict().keys() == expected.keys()
weights = max((value - expected[name]).abs().max().item() for name, value in ours.state_dict().items())
tokenizer = AutoTokenizer.from_pretrained(folder)
ids = tokenizer("The capital of France is Paris. Es war einmal eine Königin; 3 × 4 = 12.", return_tensors="pt").input_ids
with torch.no_grad():
    logits = (ours(ids).logits - theirs(ids).logits).abs().max().item()
print(json.dumps({"weights": len(expected), "weight_difference": weights, "logit_difference": logits}))
