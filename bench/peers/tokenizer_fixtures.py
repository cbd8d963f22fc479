"""Makes what src/tokenizer/ is checked against, with other people's tokenizers. Needs Node for the hostile texts.

  python tokenizer_fixtures.py unicode              writes src/tokenizer/unicode-ranges.ts from the tables inside tiktoken
  python tokenizer_fixtures.py hf                   trains small tokenizers with Hugging Face tokenizers and SentencePiece
  python tokenizer_fixtures.py answers              encodes the hostile texts with tiktoken, Hugging Face tokenizers, SentencePiece
  python tokenizer_fixtures.py llama3 MODEL_FILE    the same with Meta's tokenizer.model, which is not in the project
  python tokenizer_fixtures.py check MODEL_FILE F.. compares cria with tiktoken on whole files
  python tokenizer_fixtures.py written MODEL        compares cria with Hugging Face tokenizers on the tokenizer.json that cria writes for MODEL
  python tokenizer_fixtures.py chat                 renders the chat templates with Transformers
"""

import argparse
import base64
import hashlib
import json
import pathlib
import subprocess
import tempfile

import sentencepiece
import tiktoken
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src" / "tokenizer"
FIXTURES = ROOT / "test" / "fixtures" / "tokenizer"
SINGLE_BYTES = {bytes([value]): value for value in range(256)}

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

NUM_TEXTS = 50_000
NUM_OTHER_TEXTS = 10_000
NUM_WRITTEN_TEXTS = 5_000
BLOCK = 500
TRAINING_SEED = 7


def hostile_texts(count, seed=None):
    command = ["npx", "tsx", str(FIXTURES / "hostile-texts.ts"), str(count)] + ([] if seed is None else [str(seed)])
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in run.stdout.decode("utf-8").split("\n") if line]


def well_formed(text):
    """Lone surrogates as U+FFFD, the way tiktoken reads them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def digests(texts, encode):
    """First 16 hexadecimal digits of the SHA-256 of each block's ids; the same as digest-ids.ts."""
    blocks = []
    for start in range(0, len(texts), BLOCK):
        lines = "".join(",".join(map(str, encode(text))) + "\n" for text in texts[start : start + BLOCK])
        blocks.append(hashlib.sha256(lines.encode()).hexdigest()[:16])
    return blocks


def write_json(name, value):
    (FIXTURES / name).write_text(json.dumps(value, ensure_ascii=True, indent=1) + "\n")


# --- unicode ---------------------------------------------------------------------------------------------------------


def code_points_matching(pattern):
    """Code points that tiktoken's regular expression engine takes for `pattern`: what does not match is dropped."""
    every = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF)
    encoding = tiktoken.Encoding("probe", pat_str=pattern, mergeable_ranks=SINGLE_BYTES, special_tokens={})
    return [ord(c) for c in bytes(encoding.encode_ordinary(every)).decode("utf-8")]


def run_lengths(code_points):
    """Gaps and run lengths in base 36, "gap+more" with more = length - 1, the gap counted from the end of the run before."""
    runs = []
    for c in code_points:
        if runs and runs[-1][1] == c - 1:
            runs[-1][1] = c
        else:
            runs.append([c, c])
    parts, end = [], 0
    for first, last in runs:
        parts.append(base36(first - end) + ("" if first == last else "+" + base36(last - first)))
        end = last + 1
    return " ".join(parts)


def base36(number):
    digits = ""
    while True:
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36] + digits
        number //= 36
        if number == 0:
            return digits


def lines_of(text, width=110):
    out, line = [], ""
    for word in text.split(" "):
        if len(line) + len(word) + 1 > width:
            out.append(line)
            line = ""
        line += (" " if line else "") + word
    return out + [line]


def unicode_ranges(_args):
    text = f'''/**
 * Which code points are letters, numbers and white space, as tiktoken {tiktoken.__version__} sees them: the engine that defined the vocabularies.
 * The JavaScript engine is not asked, because its Unicode version changes the tokens and its \\s is not Unicode White_Space.
 * Written by bench/peers/tokenizer_fixtures.py; "gap+more" in base 36, the gap counted from the end of the range before.
 */
'''
    for name, pattern, what in (
        ("LETTER_RANGES", r"\p{L}", "General category L"),
        ("NUMBER_RANGES", r"\p{N}", "General category N"),
        ("WHITE_SPACE_RANGES", r"\s", "Property White_Space"),
    ):
        points = code_points_matching(pattern)
        text += f"\n/** {what}: {len(points)} code points. */\nexport const {name} = [\n"
        text += "".join(f"  '{line}',\n" for line in lines_of(run_lengths(points)))
        text += "].join(' ');\n"
    (SOURCES / "unicode-ranges.ts").write_text(text)


# --- small tokenizers made by others ---------------------------------------------------------------------------------


def training_texts():
    shakespeare = (ROOT / "data" / "shakespeare.txt").read_text()[:150_000]
    hostile = [well_formed(text).replace("\0", "") for text in hostile_texts(1500, TRAINING_SEED)]
    return [shakespeare] + hostile


def train_hf(tokenizer, vocab_size, special_tokens, alphabet):
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=special_tokens, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(training_texts(), trainer)
    return tokenizer


def smollm_like():
    """SmolLM2's parts: digits apart, special tokens inside the vocabulary, bytes missing from it, merges as strings."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    # A file made without all bytes: some never occur in training, others cannot occur in UTF-8.
    alphabet = [c for c in pre_tokenizers.ByteLevel.alphabet() if c.isascii()]
    train_hf(tokenizer, 900, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], alphabet)
    data = json.loads(tokenizer.to_str())
    data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    dropped = [c for c in data["model"]["vocab"] if len(c) == 1 and not c.isascii()][-12:]
    needed = {c for merge in data["model"]["merges"] for c in merge}
    for char in dropped:
        if char not in needed:
            del data["model"]["vocab"][char]
    return data


def llama3_like():
    """Llama 3's parts: its pattern, ignore_merges, a template with the bos token, added tokens of every kind."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    train_hf(tokenizer, 900, [], pre_tokenizers.ByteLevel.alphabet())
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    tokenizer.add_special_tokens([AddedToken("<|wide|>", lstrip=True, rstrip=True)])
    tokenizer.add_tokens(
        [
            AddedToken("@name", normalized=False),
            AddedToken("@nam", normalized=False),
            AddedToken("XML", normalized=True, lstrip=True),
            AddedToken("日本", normalized=True, rstrip=True),
        ]
    )
    bos = "<|begin_of_text|>"
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{bos} $A",
                pair=f"{bos} $A {bos}:1 $B:1",
                special_tokens=[(bos, tokenizer.token_to_id(bos))],
            ),
        ]
    )
    return json.loads(tokenizer.to_str())


def sentencepiece_vocabulary():
    """A vocabulary of Llama 2's kind, as the metadata of a GGUF file would hold it."""
    work = FIXTURES / "sentencepiece.part"
    work.mkdir()
    try:
        corpus = work / "corpus.txt"
        lines = "\n".join(training_texts()).replace("\r", " ")
        corpus.write_text(lines, encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus), model_prefix=str(work / "model"), vocab_size=1200, model_type="bpe", byte_fallback=True,
            normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
            allow_whitespace_only_pieces=True, character_coverage=0.99, max_sentence_length=100_000, minloglevel=2,
        )  # fmt: skip
        return sentencepiece.SentencePieceProcessor(model_file=str(work / "model.model"))
    finally:
        for file in work.iterdir():
            file.unlink()
        work.rmdir()


def token_type(model, i):
    kinds = ((model.is_unknown, 2), (model.is_control, 3), (model.is_unused, 5), (model.is_byte, 6))
    return next((number for is_kind, number in kinds if is_kind(i)), 1)


def small_tokenizers(_args):
    for name, data in (("smollm-like", smollm_like()), ("llama3-like", llama3_like())):
        (FIXTURES / f"{name}.json").write_text(json.dumps(data, ensure_ascii=False) + "\n")
    model = sentencepiece_vocabulary()
    size = model.vocab_size()
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [model.id_to_piece(i) for i in range(size)],
        "tokenizer.ggml.scores": [model.get_score(i) for i in range(size)],
        "tokenizer.ggml.token_type": [token_type(model, i) for i in range(size)],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
    (FIXTURES / "sentencepiece-like.json").write_text(json.dumps(metadata, ensure_ascii=False) + "\n")
    texts = [well_formed(text) for text in hostile_texts(NUM_OTHER_TEXTS)]
    write_json("sentencepiece-answers.json", {
        "made_with": f"sentencepiece {sentencepiece.__version__}", "texts": len(texts), "digests": digests(texts, model.encode),
    })  # fmt: skip


# --- answers ---------------------------------------------------------------------------------------------------------


def read_ranks(path):
    return {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, pathlib.Path(path).open("rb"))}


def tiktoken_encoding(ranks, pattern):
    return tiktoken.Encoding("fixture", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def hf_encode(tokenizer, specials):
    """Encodes with the names of special tokens taken for text, or for tokens."""
    tokenizer.encode_special_tokens = not specials
    return lambda text: tokenizer.encode(text, add_special_tokens=specials).ids


def answers(_args):
    texts = [well_formed(text) for text in hostile_texts(NUM_TEXTS)]
    fewer = texts[:NUM_OTHER_TEXTS]
    ranks = read_ranks(FIXTURES / "vocabulary" / "tokenizer.model")
    result = {"made_with": f"tiktoken {tiktoken.__version__}", "texts": {}, "digests": {}}
    for name, pattern, subset in (("llama3", LLAMA3, texts), ("gpt2", GPT2, fewer), ("qwen2", QWEN2, fewer)):
        result["texts"][name] = len(subset)
        result["digests"][name] = digests(subset, tiktoken_encoding(ranks, pattern).encode_ordinary)
    write_json("tiktoken-answers.json", result)
    import tokenizers

    result = {"made_with": f"tokenizers {tokenizers.__version__}", "texts": len(fewer), "digests": {}}
    for name in ("smollm-like", "llama3-like"):
        tokenizer = Tokenizer.from_file(str(FIXTURES / f"{name}.json"))
        result["digests"][name] = digests(fewer, hf_encode(tokenizer, specials=False))
        result["digests"][f"{name} with special tokens"] = digests(fewer, hf_encode(tokenizer, specials=True))
    write_json("hf-answers.json", result)


def llama3_answers(args):
    encoding = tiktoken_encoding(read_ranks(args.paths[0]), LLAMA3)
    texts = [well_formed(text) for text in hostile_texts(NUM_TEXTS)]
    write_json("llama3-answers.json", {
        "made_with": f"tiktoken {tiktoken.__version__} with Meta's tokenizer.model", "texts": len(texts),
        "digests": digests(texts, encoding.encode_ordinary),
    })  # fmt: skip


# --- chats -----------------------------------------------------------------------------------------------------------


def openai_message(message):
    """A message of cases.json with the names that templates use."""
    if "toolCalls" not in message:
        return message
    calls = [{"type": "function", "function": call} for call in message["toolCalls"]]
    return {"role": message["role"], "content": message["content"], "tool_calls": calls}


def template_options(options):
    names = {"builtinTools": "builtin_tools", "toolsInUserMessage": "tools_in_user_message", "dateString": "date_string"}
    # Transformers would tell the template today's date; cria tells this one unless asked otherwise.
    return {"date_string": "26 Jul 2024"} | {names[key]: value for key, value in options.items() if key in names}


def chats(_args):

    import transformers

    cases = json.loads((FIXTURES / "chat" / "cases.json").read_text())
    result = {"made_with": f"transformers {transformers.__version__}", "cases": {}}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npx", "tsx", str(FIXTURES / "write-hf.ts"), folder], cwd=ROOT, check=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for case in cases:
        messages = [openai_message(message) for message in case["messages"]]
        options = case["options"]
        for name in case["formats"]:
            arguments = {
                "chat_template": (FIXTURES / "chat" / f"{name}.jinja").read_text(),
                "add_generation_prompt": options.get("addGenerationPrompt", False),
                "tools": options.get("tools"),
            } | template_options(options)
            text = tokenizer.apply_chat_template(messages, tokenize=False, **arguments)
            ids = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False, **arguments)
            result["cases"][f"{case['name']}, {name}"] = {"text": text, "ids": list(ids)}
    (FIXTURES / "chat" / "answers.json").write_text(json.dumps(result, ensure_ascii=True, indent=1) + "\n")


def check_files(args):
    encoding = tiktoken_encoding(read_ranks(args.paths[0]), LLAMA3)
    for path in args.paths[1:]:
        text = pathlib.Path(path).read_text(encoding="utf-8")
        expected = digests([text], encoding.encode_ordinary)[0]
        command = ["npx", "tsx", str(FIXTURES / "digest-file.ts"), args.paths[0], path]
        given = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.decode().strip()
        print("same" if given == expected else "DIFFERENT", path, flush=True)


def check_written(args):
    texts = [well_formed(text) for text in hostile_texts(NUM_WRITTEN_TEXTS)]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npx", "tsx", str(FIXTURES / "write-hf.ts"), folder, args.paths[0]], cwd=ROOT, check=True)
        tokenizer = Tokenizer.from_file(str(pathlib.Path(folder, "tokenizer.json")))
        lines = pathlib.Path(folder, "texts.jsonl")
        lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        for flags in ([], ["--special"]):
            command = ["node", "bin/cria.mjs", "tokenizer", "encode", "--tokenizer", args.paths[0], "--jsonl", str(lines), *flags]
            out = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.decode()
            given = [json.loads(line)["ids"] for line in out.splitlines()]
            tokenizer.encode_special_tokens = not flags
            expected = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
            same = sum(a == b for a, b in zip(given, expected, strict=True))
            print(f"{same} of {len(texts)} texts the same", *flags, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = {"unicode": unicode_ranges, "hf": small_tokenizers, "answers": answers, "llama3": llama3_answers, "check": check_files, "written": check_written, "chat": chats}
    parser.add_argument("what", choices=list(steps))
    parser.add_argument("paths", nargs="*")
    args = parser.parse_args()
    steps[args.what](args)


if __name__ == "__main__":
    main()
