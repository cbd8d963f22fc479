"""Writes ONNX files for measuring onnxruntime: a plain f32 product, and all products of a token in Llama 3.2 1B with 4-bit weights.

`python write_onnx.py FOLDER` writes FOLDER/gemm.onnx and FOLDER/int4.onnx.
"""

import argparse
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DIM, KV_DIM, FFN, VOCAB, LAYERS = 2048, 512, 8192, 128_256, 16
BLOCK = 32  # 4-bit values that share a scale
MEAN_SQUARE_INT4 = 21.5  # of values uniform in -8..7


def gemm():
    matrix = lambda name, rows, columns: helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, columns])
    node = helper.make_node("MatMul", ["a", "b"], ["c"])
    graph = helper.make_graph([node], "gemm", [matrix("a", 512, 2048), matrix("b", 2048, 2048)], [matrix("c", 512, 2048)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def int4():
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    # One set of weights a shape would stay in the cache, so every product has its own.
    def product(x, name, rows, columns):
        packed = rng.integers(0, 256, (rows, columns // BLOCK, BLOCK // 2), dtype=np.uint8)
        scales = np.full(rows * columns // BLOCK, 1 / np.sqrt(MEAN_SQUARE_INT4 * columns), np.float32)
        weights.append(numpy_helper.from_array(packed, f"{name}.weight"))
        weights.append(numpy_helper.from_array(scales, f"{name}.scales"))
        attributes = dict(K=columns, N=rows, bits=4, block_size=BLOCK, accuracy_level=4)
        nodes.append(helper.make_node("MatMulNBits", [x, f"{name}.weight", f"{name}.scales"], [name], domain="com.microsoft", **attributes))
        return name

    def apply(op, inputs, name, **attributes):
        nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    x = "x"
    for i in range(LAYERS):
        q, k, v = (product(x, f"{i}.w{n}", rows, DIM) for n, rows in (("q", DIM), ("k", KV_DIM), ("v", KV_DIM)))
        kv = apply("Concat", [k, v, v, k], f"{i}.kv", axis=1)
        h = product(apply("Add", [q, kv], f"{i}.qkv"), f"{i}.wo", DIM, DIM)
        gate, up = product(h, f"{i}.w1", FFN, DIM), product(h, f"{i}.w3", FFN, DIM)
        x = product(apply("Mul", [gate, up], f"{i}.mul"), f"{i}.w2", DIM, FFN)
    # As llama.cpp, which computes logits for the last token of a prompt only.
    weights.append(numpy_helper.from_array(np.array([-1], np.int64), "last"))
    weights.append(numpy_helper.from_array(np.array([2**31], np.int64), "end"))
    weights.append(numpy_helper.from_array(np.array([0], np.int64), "axis"))
    apply("Slice", [x, "last", "end", "axis"], "x.last")
    logits = product("x.last", "output", VOCAB, DIM)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["tokens", DIM])]
    outputs = [helper.make_tensor_value_info(logits, TensorProto.FLOAT, [1, VOCAB])]
    graph = helper.make_graph(nodes, "int4", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    folder = parser.parse_args().folder
    onnx.save(gemm(), os.path.join(folder, "gemm.onnx"))
    onnx.save(int4(), os.path.join(folder, "int4.onnx"))


main()
