"""Writes test/fixtures/formats/gguf-blocks.safetensors and toy.gguf with the python `gguf` package.

gguf-blocks.safetensors   per type T: `T.bytes` (random but finite blocks) and `T.values`, what the package decodes;
                          for Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 also `quantise.input` and `T.quantised`, what the package encodes
toy.gguf                  the toy model of checkpoint_fixtures.py, Q8_0 and F32, with metadata of every type

Run from the repository root: python bench/peers/gguf_fixtures.py
"""
import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from safetensors.numpy import save_file
from safetensors.torch import load_file

ROOT = "test/fixtures/formats"
rng = np.random.default_rng(5)

# where the half-precision numbers of a block lie
HALVES = {
    T.Q4_0: [0],
    T.Q4_1: [0, 2],
    T.Q5_0: [0],
    T.Q5_1: [0, 2],
    T.Q8_0: [0],
    T.Q2_K: [80, 82],
    T.Q3_K: [108],
    T.Q4_K: [0, 2],
    T.Q5_K: [0, 2],
    T.Q6_K: [208],
    T.IQ4_NL: [0],
    T.IQ4_XS: [0],
}
BLOCKS = 4
tensors = {}
for kind, halves in HALVES.items():
    size, num_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (BLOCKS, num_bytes), dtype=np.uint8)
    for offset in halves:
        scale = (rng.standard_normal((BLOCKS, 1)) * 0.01).astype(np.float16)
        blocks[:, offset : offset + 2] = scale.view(np.uint8)
    tensors[f"{kind.name}.bytes"] = blocks.reshape(-1)
    tensors[f"{kind.name}.values"] = gguf.quants.dequantize(blocks, kind).reshape(-1).astype(np.float32)

rows = (rng.standard_normal((24, 64)) * 10.0 ** rng.integers(-6, 4, (24, 1))).astype(np.float32)
rows[0] = 0
rows[1, :32] = 0
rows[2] = np.arange(64) - 32  # ties in rounding and in the largest magnitude
rows[3] = (np.arange(64) % 2) - 0.5
rows[4] = rows[4].round(1)
rows[5, :] = 1e-7
rows[6, 3] = -rows[6].max()
rows[7] = np.linspace(-1, 1, 64).astype(np.float16)
tensors["quantise.input"] = rows
for kind in (T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1):
    tensors[f"{kind.name}.quantised"] = gguf.quants.quantize(rows, kind).reshape(-1)
save_file(tensors, f"{ROOT}/gguf-blocks.safetensors")

toy = load_file(f"{ROOT}/toy.safetensors")
writer = gguf.GGUFWriter(f"{ROOT}/toy.gguf", "llama")
writer.add_context_length(131072)
writer.add_embedding_length(32)
writer.add_block_count(2)
writer.add_feed_forward_length(88)
writer.add_head_count(8)
writer.add_head_count_kv(4)
writer.add_rope_freq_base(500000.0)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_dimension_count(4)
writer.add_vocab_size(48)
writer.add_file_type(7)
writer.add_tokenizer_model("gpt2")
writer.add_token_list(["t", "1", "2"] + [f"t{i}" for i in range(1, 46)])
writer.add_token_types([1] * 48)
writer.add_token_merges(["t 1", "t 2"])
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
writer.add_chat_template("{{ messages }}")
for name, value in {
    "uint8": np.uint8(200),
    "int8": np.int8(-100),
    "uint16": np.uint16(60000),
    "int16": np.int16(-30000),
    "uint32": np.uint32(4000000000),
    "int32": np.int32(-2000000000),
    "float32": np.float32(0.1),
    "float64": np.float64(0.1),
    "uint64": np.uint64(2**63 + 1),
    "int64": np.int64(-(2**62) - 1),
    "bool": True,
    "string": "h\u00e9llo \U0001f999",
}.items():
    getattr(writer, f"add_{name}")(f"test.{name}", value if isinstance(value, (bool, str)) else value.item())
writer.add_array("test.floats", [0.5, -1.5])
writer.add_array("test.bools", [True, False])

names = {
    "tok_embeddings": "token_embd",
    "norm": "output_norm",
    "output": "output",
    "attention.wq": "attn_q",
    "attention.wk": "attn_k",
    "attention.wv": "attn_v",
    "attention.wo": "attn_output",
    "feed_forward.w1": "ffn_gate",
    "feed_forward.w2": "ffn_down",
    "feed_forward.w3": "ffn_up",
    "attention_norm": "attn_norm",
    "ffn_norm": "ffn_norm",
}
for name, tensor in toy.items():
    if not name.endswith(".weight"):
        continue
    stem = name.removesuffix(".weight")
    if stem.startswith("layers."):
        _, layer, rest = stem.split(".", 2)
        gguf_name = f"blk.{layer}.{names[rest]}.weight"
    else:
        gguf_name = f"{names[stem]}.weight"
    data = tensor.float().numpy()
    if data.ndim == 2 and data.shape[1] % 32 == 0:
        writer.add_tensor(gguf_name, gguf.quants.quantize(data, T.Q8_0), raw_dtype=T.Q8_0)
    else:
        writer.add_tensor(gguf_name, data)
# llama.cpp convert_hf_to_gguf.py: rope_freqs of llama3 scaling factor 8, 1, 4, 8192
freqs = 1.0 / (500000.0 ** (np.arange(0, 4, 2, dtype=np.float32) / 4))
factors = []
for freq in freqs:
    wavelen = 2 * np.pi / freq
    if wavelen < 8192 / 4:
        factors.append(1.0)
    elif wavelen > 8192:
        factors.append(8.0)
    else:
        smooth = (8192 / wavelen - 1) / 3
        factors.append(1 / ((1 - smooth) / 8 + smooth))
writer.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
