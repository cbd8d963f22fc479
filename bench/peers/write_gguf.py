"""Writes a GGUF file of Llama 3.2 1B's shape with random weights, for measuring llama.cpp: `python write_gguf.py OUT [--type q4_0]`."""

import argparse

import gguf
import numpy as np

DIM, HEADS, KV_HEADS, FFN = 2048, 32, 8, 8192
HEAD_DIM = DIM // HEADS
PATTERN_BLOCKS = 1 << 16  # random blocks that are repeated to fill a tensor
Q4_0_VALUES, Q4_0_BYTES = 32, 18


def q4_0(rows, columns, rng):
    """Blocks of one f16 scale and 32 nibbles; values of about the size of trained weights."""
    pattern = rng.integers(0, 256, (PATTERN_BLOCKS, Q4_0_BYTES), dtype=np.uint8)
    pattern[:, :2] = np.frombuffer(np.float16(0.005).tobytes(), dtype=np.uint8)
    blocks = rows * columns // Q4_0_VALUES
    return np.resize(pattern, (blocks, Q4_0_BYTES)).reshape(rows, -1)


def f32(rows, columns, rng):
    pattern = rng.standard_normal(1 << 20, dtype=np.float32) * 0.02
    return np.resize(pattern, (rows, columns))


def bf16(rows, columns, rng):
    return (f32(rows, columns, rng).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8).reshape(rows, -1)


TYPES = {
    "q4_0": (q4_0, gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
    "f32": (f32, gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "bf16": (bf16, gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--type", choices=TYPES, default="q4_0")
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--vocab", type=int, default=128_256)
    args = parser.parse_args()
    make, tensor_type, file_type = TYPES[args.type]
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(args.out, "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(DIM)
    writer.add_block_count(args.layers)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(500_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(args.vocab)
    writer.add_file_type(file_type)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list([f"t{i}" for i in range(args.vocab)])
    writer.add_token_types([gguf.TokenType.NORMAL] * args.vocab)
    writer.add_token_merges(["t 1"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)

    def matrix(name, rows, columns):
        writer.add_tensor(name, make(rows, columns, rng), raw_dtype=tensor_type)

    def vector(name):
        writer.add_tensor(name, np.ones(DIM, np.float32))

    matrix("token_embd.weight", args.vocab, DIM)
    vector("output_norm.weight")
    for i in range(args.layers):
        vector(f"blk.{i}.attn_norm.weight")
        vector(f"blk.{i}.ffn_norm.weight")
        matrix(f"blk.{i}.attn_q.weight", DIM, DIM)
        matrix(f"blk.{i}.attn_k.weight", KV_HEADS * HEAD_DIM, DIM)
        matrix(f"blk.{i}.attn_v.weight", KV_HEADS * HEAD_DIM, DIM)
        matrix(f"blk.{i}.attn_output.weight", DIM, DIM)
        matrix(f"blk.{i}.ffn_gate.weight", FFN, DIM)
        matrix(f"blk.{i}.ffn_up.weight", FFN, DIM)
        matrix(f"blk.{i}.ffn_down.weight", DIM, FFN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
