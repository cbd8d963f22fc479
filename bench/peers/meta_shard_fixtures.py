"""Writes one tiny Llama as 1, 2 and 8 model-parallel shards under test/fixtures/formats/meta-shards/, split by fairscale, whose layers Meta's code is made of.

weights.safetensors    the whole tensors, bfloat16, Meta's names
llama3-mpN/            VocabParallelEmbedding: the embedding table split by vocabulary (meta-llama/llama3 llama/model.py)
llama2-mpN/            ParallelEmbedding: split by dimension, params.json with vocab_size -1 (meta-llama/llama llama/model.py)

Run from the repository root: python bench/peers/meta_shard_fixtures.py
"""
import json
import os
import shutil

import torch
import torch.distributed as dist
from fairscale.nn.model_parallel import initialize
from fairscale.nn.model_parallel.layers import (
    ColumnParallelLinear,
    ParallelEmbedding,
    RowParallelLinear,
    VocabParallelEmbedding,
)
from safetensors.torch import save_file
from torch.testing._internal.distributed.fake_pg import FakeStore

ROOT = "test/fixtures/formats/meta-shards"
DIM, HEADS, VOCAB, FFN = 16, 8, 24, 48

torch.manual_seed(7)


def random(*shape):
    return (torch.randn(*shape) * 0.2).to(torch.bfloat16)


weights = {
    "tok_embeddings.weight": random(VOCAB, DIM),
    "layers.0.attention.wq.weight": random(DIM, DIM),
    "layers.0.attention.wk.weight": random(DIM, DIM),
    "layers.0.attention.wv.weight": random(DIM, DIM),
    "layers.0.attention.wo.weight": random(DIM, DIM),
    "layers.0.feed_forward.w1.weight": random(FFN, DIM),
    "layers.0.feed_forward.w2.weight": random(DIM, FFN),
    "layers.0.feed_forward.w3.weight": random(FFN, DIM),
    "layers.0.attention_norm.weight": 1 + random(DIM),
    "layers.0.ffn_norm.weight": 1 + random(DIM),
    "norm.weight": 1 + random(DIM),
    "output.weight": random(VOCAB, DIM),
}

SHARED = {"dim": DIM, "n_layers": 1, "n_heads": HEADS, "multiple_of": 8, "norm_eps": 1e-05}
PARAMS = {
    "llama3": {**SHARED, "n_kv_heads": HEADS, "vocab_size": VOCAB, "rope_theta": 500000.0},
    "llama2": {**SHARED, "vocab_size": -1},
}
EMBEDDINGS = {"llama3": VocabParallelEmbedding, "llama2": ParallelEmbedding}


def part_of(family, name, whole):
    """What this rank keeps of a tensor, by the layer that llama/model.py uses for it."""
    kind = name.split(".")[-2]
    start = {"init_method": lambda master: master.data.copy_(whole)}
    if kind == "tok_embeddings":
        return EMBEDDINGS[family](VOCAB, DIM, **start).weight
    if kind in ("wq", "wk", "wv", "w1", "w3", "output"):
        return ColumnParallelLinear(whole.shape[1], whole.shape[0], bias=False, gather_output=False, **start).weight
    if kind in ("wo", "w2"):
        return RowParallelLinear(whole.shape[1], whole.shape[0], bias=False, input_is_parallel=True, **start).weight
    return whole


def write_rank(family, folder, rank, size):
    dist.init_process_group("fake", rank=rank, world_size=size, store=FakeStore())
    initialize.initialize_model_parallel(size, model_parallel_backend="fake", ddp_backend="fake")
    part = {name: part_of(family, name, whole).detach().clone() for name, whole in weights.items()}
    if family == "llama2":
        part["rope.freqs"] = torch.zeros(DIM // HEADS // 2, dtype=torch.bfloat16)
    torch.save(part, f"{folder}/consolidated.{rank:02d}.pth")
    initialize.destroy_model_parallel()
    dist.destroy_process_group()


torch.set_default_dtype(torch.bfloat16)
shutil.rmtree(ROOT, ignore_errors=True)
os.makedirs(ROOT)
save_file(weights, f"{ROOT}/weights.safetensors")
for family, params in PARAMS.items():
    for size in (1, 2, 8):
        folder = f"{ROOT}/{family}-mp{size}"
        os.makedirs(folder)
        with open(f"{folder}/params.json", "w") as f:
            json.dump(params, f)
        for rank in range(size):
            write_rank(family, folder, rank, size)
