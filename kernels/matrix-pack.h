// Matrices rearranged for the product: lines side by side in strips, so that one step along the depth reads consecutive words. A word is an
// f32, or a pair of bf16 values that neighbour along the depth.
#pragma once
#include "product.h"

namespace cria::CRIA_ISA {

// One operand of a product: `lines` rows or columns of the result, each a sum over `depth`.
struct Operand {
  const void* data;
  DType dtype;  // f32 or bf16
  int64_t lines, depth;
  int64_t stride;     // elements from one line to the next where the values of a line are consecutive, else from one depth to the next
  bool line_by_line;  // the values of a line are consecutive
};

// Words along the depth of a product in this arithmetic.
CRIA_INLINE int64_t words_of(DType arithmetic, int64_t depth) { return arithmetic == DType::bf16 ? (depth + 1) / 2 : depth; }

constexpr int64_t word_bytes = 4;
constexpr int64_t strip_slack_words = 16;  // a narrow strip may be written this far beyond its end

// Packs the words [first_word, last_word) of `lines` lines from `first_line` on into strips of 16 lines, the last one perhaps `last_width`
// wide: strip i holds [word][width] from out + i * stride_words on, which is where `first_word` goes. Lines beyond `lines` are zero.
struct Strips {
  int64_t first_line, lines;
  int64_t first_word, last_word;
  int32_t* out;
  int64_t stride_words;
  int last_width = panel_rows;
};

void pack_strips(const Operand& from, DType arithmetic, const Strips& strips);

}  // namespace cria::CRIA_ISA
