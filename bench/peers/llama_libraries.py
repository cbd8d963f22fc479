"""Finds llama.cpp's shared libraries: those of the npm package @node-llama-cpp/linux-x64, or of the folder CRIA_LLAMA_LIBRARIES."""
import ctypes
import os
import pathlib

DEFAULT = pathlib.Path(__file__).parent / "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"
FOLDER = pathlib.Path(os.environ.get("CRIA_LLAMA_LIBRARIES", DEFAULT))


def load(stem):
    """The library `stem`, whose name carries a version in some releases, with its symbols open to those loaded after it."""
    path = min(FOLDER.glob(f"{stem}*.so"), key=lambda found: len(found.name))
    return ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
