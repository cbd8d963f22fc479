"""Rounds every matrix of a Hugging Face folder to a K-quant with llama.cpp's own quantiser and writes the float32 values back.
Blocks of 256 run over the ends of rows, so that matrices of any width take part.

python bench/peers/k_quant_weights.py IN.safetensors OUT.safetensors Q4_K|Q5_K|Q6_K
"""
import ctypes
import sys

import gguf
import numpy as np
from safetensors.numpy import load_file, save_file

from llama_libraries import load

kind = gguf.GGMLQuantizationType[sys.argv[3]]
ggml = load("libggml-base")
ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
size, num_bytes = gguf.GGML_QUANT_SIZES[kind]
tensors = load_file(sys.argv[1])
for name, values in tensors.items():
    if values.ndim == 2 and values.size % size == 0 and "embed" not in name:
        out = np.zeros(values.size // size * num_bytes, np.uint8)
        ggml.ggml_quantize_chunk(int(kind), values.ctypes.data, out.ctypes.data, 0, 1, values.size, None)
        tensors[name] = gguf.dequantize(out, kind).astype(np.float32).reshape(values.shape)
save_file(tensors, sys.argv[2], metadata={"format": "pt"})
