"""Makes LoRA adapters for the toy model with PEFT, and what PEFT merges them into, under test/fixtures/formats/.

toy-lora/    plain LoRA on all projections, with one alpha of its own
toy-dora/    rank-stabilised DoRA on q, k and down, new norm and output weights

Each folder holds the adapter and `merged.safetensors`: the float32 weights of layer 1 and outside layers, Hugging Face names.
Run from the repository root: python bench/peers/peft_fixtures.py
"""
import os

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

ROOT = "test/fixtures/formats"
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CONFIGS = {
    "toy-lora": LoraConfig(
        r=3, lora_alpha=7, target_modules=[*PROJECTIONS, "embed_tokens"], alpha_pattern={"1.self_attn.v_proj": 5}
    ),
    "toy-dora": LoraConfig(
        r=4,
        lora_alpha=6,
        use_rslora=True,
        use_dora=True,
        target_modules=["q_proj", "k_proj", "down_proj"],
        rank_pattern={"k_proj": 2},
        modules_to_save=["lm_head", "input_layernorm"],
    ),
}

for name, config in CONFIGS.items():
    torch.manual_seed(5)
    base = AutoModelForCausalLM.from_pretrained(f"{ROOT}/toy-hf", dtype=torch.float32)
    model = get_peft_model(base, config)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.requires_grad:  # as if it had been trained
                parameter.add_(torch.randn_like(parameter) * 0.05)
    folder = f"{ROOT}/{name}"
    model.save_pretrained(folder, save_embedding_layers=False)
    os.remove(f"{folder}/README.md")
    merged = model.merge_and_unload().state_dict()
    kept = {k: v.contiguous() for k, v in merged.items() if "layers.0." not in k}
    save_file(kept, f"{folder}/merged.safetensors")
    print(name, sorted(os.listdir(folder)))
