"""Writes test/fixtures/formats/dtypes.safetensors with the reference implementation: one small tensor per dtype.

Run from the repository root: python bench/peers/safetensors_fixtures.py
"""
import torch
from safetensors.torch import save_file

values = torch.tensor([[0.0, -1.5, 3.140625], [65504.0, 2.0**-24, -0.0]])
ints = torch.tensor([[0, 1, -2], [100, -128, 127]])
tensors = {
    "f64": values.to(torch.float64) / 3,
    "f32": values / 3,
    "f16": values.to(torch.float16),
    "bf16": values.to(torch.bfloat16),
    "i64": ints * 2**40,
    "i32": (ints * 2**20).to(torch.int32),
    "i16": (ints * 2**8).to(torch.int16),
    "i8": ints.to(torch.int8),
    "u8": ints.to(torch.uint8),
    "u16": ints.abs().to(torch.uint16),
    "u32": ints.abs().to(torch.uint32),
    "bool": ints > 0,
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 4),
}
save_file(tensors, "test/fixtures/formats/dtypes.safetensors", metadata={"format": "pt", "note": "fixture"})
