// Products of whole matrices by all threads: the right operand lies in panels that the threads share, each thread packs the rows of the left
// operand that it works on for itself.
#pragma once
#include "matrix-pack.h"

namespace cria::CRIA_ISA {

// c [rows of a, lines of b] = a * b + addend. Each value is one sum in the order of the depth, the addend comes last; a resumed one goes on
// from the value that c has.
struct Result {
  void* data;
  DType dtype;  // f32 or bf16
  int64_t stride;
  const float* addend = nullptr;  // of the same stride; may be c itself
  bool resume = false;            // f32 without addend only
};

// Bytes of one panel.
CRIA_INLINE int64_t panel_bytes(DType arithmetic, int64_t depth) { return words_of(arithmetic, depth) * panel_rows * word_bytes; }

// Packs all of b into panels; the threads share the work. No barrier at the end.
void pack_panels(Team& team, DType arithmetic, const Operand& b, void* panels);

// The product with `columns` lines of a right operand that is packed already. The workspace keeps sums of deep products, and is only
// needed where `sums_bytes` says so. Ends without a barrier, but holds some where the product is deep.
void multiply_packed(Team& team, DType arithmetic, const Operand& a, const void* panels, int64_t columns, const Result& c,
                     const View& workspace);

// The product; packs as much of b at a time as the workspace has room for beside the sums (one panel at least). Holds barriers; none at the end.
void multiply(Team& team, DType arithmetic, const Operand& a, const Operand& b, const Result& c, const View& workspace);

}  // namespace cria::CRIA_ISA
