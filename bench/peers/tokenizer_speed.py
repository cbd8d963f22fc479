"""tiktoken, or Hugging Face's tokenizers, as a contender of bench/tokenizers.ts: tokenizer_speed.py tiktoken|tokenizers.
Answers each line of JSON with a line of JSON. Seconds are processor time: a busy neighbour does not lengthen it.
MODEL_FILE is a tokenizer.model for tiktoken, a tokenizer.json for tokenizers.

  {"load": MODEL_FILE} -> {"seconds", "mib"}    {"encode": TEXT_FILE, "seconds": S} -> {"seconds", "first", "tokens", "digest"}
"""

import base64
import hashlib
import json
import sys
import time

import tiktoken
import tokenizers

PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def resident_mib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def load_tokenizers(path):
    before, start = resident_mib(), time.process_time()
    tokenizer = tokenizers.Tokenizer.from_file(path)
    return tokenizer, {"seconds": time.process_time() - start, "mib": resident_mib() - before}


def load_tiktoken(path):
    """As tiktoken.load.load_tiktoken_bpe reads a file, and the encoding made from it."""
    before, start = resident_mib(), time.process_time()
    with open(path, "rb") as file:
        contents = file.read()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in contents.splitlines() if line)}
    encoding = tiktoken.Encoding("bench", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    return encoding, {"seconds": time.process_time() - start, "mib": resident_mib() - before}


def ids_of(encoding, text):
    if isinstance(encoding, tiktoken.Encoding):
        return encoding.encode_ordinary(text)
    return encoding.encode(text, add_special_tokens=False).ids


def encode(encoding, text, at_least):
    """The first and the fastest of as many encodings as fit into `at_least` seconds, two or more."""
    best, first, began = float("inf"), 0.0, time.process_time()
    tries = 0
    while tries < 2 or time.process_time() - began < at_least:
        start = time.process_time()
        ids = ids_of(encoding, text)
        seconds = time.process_time() - start
        first = seconds if tries == 0 else first
        best = min(best, seconds)
        tries += 1
    return {"seconds": best, "first": first, "tokens": len(ids), "digest": hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()[:16]}


def main():
    load = {"tiktoken": load_tiktoken, "tokenizers": load_tokenizers}[sys.argv[1]]
    encoding = None
    texts = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "load" in request:
            encoding, answer = load(request["load"])
        else:
            path = request["encode"]
            if path not in texts:
                with open(path, encoding="utf-8", newline="") as file:
                    texts[path] = file.read()
            answer = encode(encoding, texts[path], request["seconds"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
