"""Quantises a GGUF file with llama.cpp's own quantiser, llama_model_quantize of libllama, without an importance matrix.

python bench/peers/llama_quantize.py SOURCE.gguf OUT.gguf TYPE    (TYPE as cria names it: q4_0, q4_k_m, f16, ...)
"""
import ctypes
import sys

from llama_libraries import FOLDER, load

# llama.h enum llama_ftype
FILE_TYPES = {
    "f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9,
    "q4_k_s": 14, "q4_k_m": 15, "q5_k_s": 16, "q5_k_m": 17, "q6_k": 18, "bf16": 32,
}  # fmt: skip


class Params(ctypes.Structure):
    """The first two fields of llama_model_quantize_params; the rest is only handed back."""

    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int32), ("rest", ctypes.c_uint8 * 248)]


def main():
    source, out, kind = sys.argv[1:]
    load("libggml-base")
    ggml = load("libggml.")
    llama = load("libllama.")
    ggml.ggml_backend_load_all_from_path(str(FOLDER).encode())
    llama.llama_model_quantize_default_params.restype = Params
    llama.llama_model_quantize.restype = ctypes.c_uint32
    params = llama.llama_model_quantize_default_params()
    params.nthread = 2
    params.ftype = FILE_TYPES[kind]
    failed = llama.llama_model_quantize(source.encode(), out.encode(), ctypes.byref(params))
    assert failed == 0, f"llama_model_quantize gave {failed}"


main()
