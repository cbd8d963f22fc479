"""Makes what src/tokenizer/ is checked against, with other people's tokenizers.

  python tokenizer_fixtures.py unicode    writes src/tokenizer/unicode-ranges.ts from the tables inside tiktoken
"""

import argparse
import pathlib

import tiktoken

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src" / "tokenizer"
SINGLE_BYTES = {bytes([value]): value for value in range(256)}


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


def lines(text, width=110):
    out, line = [], ""
    for word in text.split(" "):
        if len(line) + len(word) + 1 > width:
            out.append(line)
            line = ""
        line += (" " if line else "") + word
    return out + [line]


def unicode_ranges():
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
        text += "".join(f"  '{line}',\n" for line in lines(run_lengths(points)))
        text += "].join(' ');\n"
    (SOURCES / "unicode-ranges.ts").write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["unicode"])
    {"unicode": unicode_ranges}[parser.parse_args().what]()


if __name__ == "__main__":
    main()
