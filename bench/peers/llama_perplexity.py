"""llama.cpp's perplexity of given tokens, in llama-perplexity's convention, through libllama; its cache is f16.

python bench/peers/llama_perplexity.py MODEL.gguf IDS WINDOW THREADS

IDS is a file of int32 token ids; what does not fill a window is left out. Prints one JSON value: {"nll", "tokens"}.
"""
import ctypes
import json
import sys

import numpy as np
from llama_libraries import FOLDER, load


class ModelParams(ctypes.Structure):
    """llama_model_params is only handed back."""

    _fields_ = [("all", ctypes.c_uint8 * 512)]


class ContextParams(ctypes.Structure):
    """The first fields of llama_context_params; the rest is only handed back."""

    _fields_ = [
        *[(name, ctypes.c_uint32) for name in ("n_ctx", "n_batch", "n_ubatch", "n_seq_max", "n_rs_seq")],
        *[(name, ctypes.c_uint32) for name in ("n_outputs_max", "n_outputs_max_per_seq")],
        *[(name, ctypes.c_int32) for name in ("n_threads", "n_threads_batch")],
        ("rest", ctypes.c_uint8 * 512),
    ]


class Batch(ctypes.Structure):
    """llama_batch of llama.h."""

    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.POINTER(ctypes.c_float)),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


def declare(llama):
    """Types of the functions that take or give more than integers."""
    pointer = ctypes.c_void_p
    llama.llama_model_default_params.restype = ModelParams
    llama.llama_context_default_params.restype = ContextParams
    llama.llama_model_load_from_file.restype = pointer
    llama.llama_model_load_from_file.argtypes = [ctypes.c_char_p, ModelParams]
    llama.llama_model_get_vocab.restype = pointer
    llama.llama_model_get_vocab.argtypes = [pointer]
    llama.llama_vocab_n_tokens.argtypes = [pointer]
    llama.llama_init_from_model.restype = pointer
    llama.llama_init_from_model.argtypes = [pointer, ContextParams]
    llama.llama_batch_init.restype = Batch
    llama.llama_decode.argtypes = [pointer, Batch]
    llama.llama_get_logits.restype = ctypes.POINTER(ctypes.c_float)
    llama.llama_get_logits.argtypes = [pointer]
    llama.llama_get_memory.restype = pointer
    llama.llama_get_memory.argtypes = [pointer]
    llama.llama_memory_clear.argtypes = [pointer, ctypes.c_bool]


def open_llama():
    load("libggml-base")
    ggml = load("libggml.")
    llama = load("libllama.")
    ggml.ggml_backend_load_all_from_path(str(FOLDER).encode())
    silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
    llama.llama_log_set(silent, None)
    llama.keep = silent
    declare(llama)
    return llama


def open_context(llama, model, window, threads):
    params = llama.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = window
    params.n_threads = params.n_threads_batch = threads
    context = llama.llama_init_from_model(model, params)
    assert context, "llama_init_from_model failed"
    return context


def scored_rows(llama, context, batch, ids, vocab):
    """Logits of the rows from the middle of a window to the last but one, [rows, vocab]."""
    first, last = len(ids) // 2, len(ids) - 1
    for at, token in enumerate(ids):
        batch.token[at], batch.pos[at], batch.n_seq_id[at], batch.seq_id[at][0] = int(token), at, 1, 0
        batch.logits[at] = first <= at < last
    batch.n_tokens = len(ids)
    llama.llama_memory_clear(llama.llama_get_memory(context), True)
    assert llama.llama_decode(context, batch) == 0, "llama_decode failed"
    return np.ctypeslib.as_array(llama.llama_get_logits(context), (last - first, vocab))


def main():
    path, ids_path, window, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    ids = np.fromfile(ids_path, np.int32)
    llama = open_llama()
    model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
    assert model, f"llama.cpp cannot load {path}"
    vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    context = open_context(llama, model, window, threads)
    batch = llama.llama_batch_init(window, 0, 1)
    nll, tokens = 0.0, 0
    for start in range(0, len(ids) - window + 1, window):
        part = ids[start : start + window]
        rows = scored_rows(llama, context, batch, part, vocab).astype(np.float64)
        highest = rows.max(axis=1)
        sums = highest + np.log(np.exp(rows - highest[:, None]).sum(axis=1))
        following = part[len(part) // 2 + 1 :]
        nll += float((sums - rows[np.arange(len(following)), following]).sum())
        tokens += len(following)
    print(json.dumps({"nll": nll / tokens, "tokens": tokens}))


main()
