// The heart of every product: one tile of the result, up to tile_rows x (16 * tile_panels) values, each summed in registers along the whole
// depth, in order. The same code serves one row and many, so a row's bits do not depend on its company.
#pragma once
#include "product.h"

namespace cria::CRIA_ISA {

constexpr int panel_vectors = panel_rows / VL;
// As many sums as fit in the registers beside the operands (32 with AVX-512, else 16).
constexpr int tile_rows = VL == 16 ? 8 : VL == 8 ? 6 : 3;
constexpr int tile_panels = VL == 16 ? 3 : 1;

// c [rows, 16 * panels] = a * b (or c + a * b, as one longer sum, when `resume`). a holds the rows' words side by side, `a_step` words from one
// depth to the next; b are panels [word][16] that lie `panel_step` words behind each other.
struct Tile {
  int64_t words;
  const int32_t* a;
  int64_t a_step;
  const int32_t* b;
  int64_t panel_step;
  float* c;
  int64_t stride;  // from row to row of c
  bool resume;
};

void multiply_tile(DType arithmetic, int rows, int panels, const Tile& tile);

}  // namespace cria::CRIA_ISA
