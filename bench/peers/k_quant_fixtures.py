"""Writes test/fixtures/formats/k-quants.safetensors: values and what llama.cpp's own quantiser makes of them.

Needs ggml's shared library, for instance libggml-base.so from the npm package @node-llama-cpp/linux-x64 (3.22.1):
python bench/peers/k_quant_fixtures.py .../bins/linux-x64/libggml-base.so      (from the repository root)
"""
import ctypes
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from safetensors.numpy import save_file

ggml = ctypes.CDLL(sys.argv[1])
ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]

rng = np.random.default_rng(11)
rows = np.concatenate(
    [
        rng.standard_normal((4, 256)) * 0.02,  # like most weights
        rng.standard_t(3, (4, 256)) * 0.02,  # with outliers
        np.abs(rng.standard_normal((2, 256))) * 0.02,  # all positive
        -np.abs(rng.standard_normal((2, 256))) * 0.02,  # all negative
        rng.standard_normal((2, 256)) * 10.0 ** rng.integers(-4, 2, (2, 256)),
        np.repeat(rng.standard_normal((2, 8)), 32, axis=1),  # constant groups
    ]
).astype(np.float32)
tensors = {"values": rows}
for kind in (T.Q4_K, T.Q5_K, T.Q6_K):
    size, num_bytes = gguf.GGML_QUANT_SIZES[kind]
    out = np.zeros(rows.size // size * num_bytes, np.uint8)
    ggml.ggml_quantize_chunk(int(kind), rows.ctypes.data, out.ctypes.data, 0, rows.shape[0], rows.shape[1], None)
    tensors[kind.name] = out
save_file(tensors, "test/fixtures/formats/k-quants.safetensors")
