"""Writes a GGUF file of a model's shape with random weights, for measuring llama.cpp: `python write_gguf.py OUT [--size llama3.2-1b] [--type q4_0]`."""

import argparse
import itertools

import gguf
import numpy as np

SIZES = {  # dim, heads, kv heads, ffn, layers, vocabulary
    "llama3.2-1b": (2048, 32, 8, 8192, 16, 128_256),
    "smollm2-135m": (576, 9, 3, 1536, 30, 49_152),
}
PATTERN_BLOCKS = 1 << 16  # random blocks that are repeated to fill a tensor
BLOCK_VALUES = 32
CONTEXT = 16_384


def blocks_of(num_bytes, scale):
    """Blocks of one f16 scale and random quants; values of about the size of trained weights."""

    def make(rows, columns, rng):
        pattern = rng.integers(0, 256, (PATTERN_BLOCKS, num_bytes), dtype=np.uint8)
        pattern[:, :2] = np.frombuffer(np.float16(scale).tobytes(), dtype=np.uint8)
        return np.resize(pattern, (rows * columns // BLOCK_VALUES, num_bytes)).reshape(rows, -1)

    return make


def vocabulary(size):
    """A byte-level vocabulary of pairs and triples of characters, and its merges: as much to load as a real one."""
    alphabet = [chr(c if 33 <= c <= 126 or 161 <= c <= 172 or 174 <= c <= 255 else 256 + c) for c in range(256)]
    tokens, merges = list(alphabet), []
    for first in itertools.chain(alphabet, (a + b for a in alphabet for b in alphabet)):
        for last in alphabet:
            if len(tokens) >= size:
                return tokens[:size], merges
            tokens.append(first + last)
            merges.append(f"{first} {last}")


def f32(rows, columns, rng):
    pattern = rng.standard_normal(1 << 20, dtype=np.float32) * 0.02
    return np.resize(pattern, (rows, columns))


def bf16(rows, columns, rng):
    return (f32(rows, columns, rng).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8).reshape(rows, -1)


TYPES = {
    "q4_0": (blocks_of(18, 0.005), gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
    "q8_0": (blocks_of(34, 0.0003), gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "f32": (f32, gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "bf16": (bf16, gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--type", choices=TYPES, default="q4_0")
    parser.add_argument("--size", choices=SIZES, default="llama3.2-1b")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--vocab", type=int)
    args = parser.parse_args()
    dim, heads, kv_heads, ffn, layers, vocab = SIZES[args.size]
    layers, vocab = args.layers or layers, args.vocab or vocab
    kv_dim = dim // heads * kv_heads
    make, tensor_type, file_type = TYPES[args.type]
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(args.out, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(dim)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(dim // heads)
    writer.add_rope_freq_base(500_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocab)
    writer.add_file_type(file_type)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    tokens, merges = vocabulary(vocab)
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * vocab)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)

    def matrix(name, rows, columns):
        writer.add_tensor(name, make(rows, columns, rng), raw_dtype=tensor_type)

    def vector(name):
        writer.add_tensor(name, np.ones(dim, np.float32))

    matrix("token_embd.weight", vocab, dim)
    vector("output_norm.weight")
    for i in range(layers):
        vector(f"blk.{i}.attn_norm.weight")
        vector(f"blk.{i}.ffn_norm.weight")
        matrix(f"blk.{i}.attn_q.weight", dim, dim)
        matrix(f"blk.{i}.attn_k.weight", kv_dim, dim)
        matrix(f"blk.{i}.attn_v.weight", kv_dim, dim)
        matrix(f"blk.{i}.attn_output.weight", dim, dim)
        matrix(f"blk.{i}.ffn_gate.weight", ffn, dim)
        matrix(f"blk.{i}.ffn_up.weight", ffn, dim)
        matrix(f"blk.{i}.ffn_down.weight", dim, ffn)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
