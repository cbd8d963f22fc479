// Products of whole matrices by all threads: the right operand is packed into panels that the threads share, each thread packs the rows of
// the left operand that it works on for itself.
#pragma once
#include "matrix-pack.h"

namespace cria::CRIA_ISA {

// c [rows of a, lines of b] = a * b + addend. Each value is one sum in the order of the depth, the addend comes last; a resumed one goes on
// from the value that c has.
struct Result {
  void* data;
  DType dtype;  // f32 or bf16
  int64_t stride;
  const float* addend = nullptr;  // of the same stride
  bool resume = false;            // f32 only
};

// Bytes of one panel.
CRIA_INLINE int64_t panel_bytes(DType arithmetic, int64_t depth) { return words_of(arithmetic, depth) * panel_rows * word_bytes; }

// Packs `lines` lines of b from `first_line` (a multiple of 16) on; the threads share the work. No barrier at the end.
void pack_panels(Team& team, const Operand& b, DType arithmetic, int64_t first_line, int64_t lines, void* panels);

// The columns [first_column, first_column + columns) of the product, with the panels of just these lines of b. No barrier at the end.
void multiply_panels(Team& team, DType arithmetic, const Operand& a, const void* panels, int64_t first_column, int64_t columns,
                     const Result& c);

// The whole product; packs as much of b at a time as the workspace holds (16 lines at least). No barrier at the end.
void multiply(Team& team, DType arithmetic, const Operand& a, const Operand& b, const Result& c, const View& workspace);

}  // namespace cria::CRIA_ISA
