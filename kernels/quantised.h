// Weight panels of 8 and 4 bits: 16 rows side by side, blocks of 32 columns. A block's quants are chunks of four columns: chunk c holds, for each
// row, the bytes of columns 4c .. 4c + 3 (8 bits), or columns 8c .. 8c + 3 in the low and 8c + 4 .. 8c + 7 in the high nibbles (4 bits).
// Columns beyond the matrix and rows beyond the last hold zeros. src/tensor/dtype.ts tells the same sizes.
#pragma once
#include "kernel.h"

namespace cria {

constexpr int quant_block = 32;  // columns that share a scale

// value = scale * (quant - 128)
struct PanelQ8 {
  uint8_t quants[8][64];
  f16 scale[panel_rows];
};
// value = scale * (quant - 8)
struct PanelQ4 {
  uint8_t quants[4][64];
  f16 scale[panel_rows];
};
// value = scale * quant + min
struct PanelQ4Min {
  uint8_t quants[4][64];
  f16 scale[panel_rows], min[panel_rows];
};
// 256 columns: block b has scale d * scale[b] and min -dmin * min[b], the small numbers being 6-bit integers (the source format's Q4_K).
struct PanelQ4K {
  uint8_t scale[8][panel_rows], min[8][panel_rows];
  f16 d[panel_rows], dmin[panel_rows];
  uint8_t quants[8][4][64];
};

template <class F> CRIA_INLINE void with_quantised(DType dtype, F&& f) {
  if (dtype == DType::panel_q8) f(PanelQ8{});
  if (dtype == DType::panel_q4) f(PanelQ4{});
  if (dtype == DType::panel_q4_min) f(PanelQ4Min{});
  if (dtype == DType::panel_q4_k) f(PanelQ4K{});
}

CRIA_INLINE bool is_quantised(DType dtype) { return dtype >= DType::panel_q8; }

template <class Panel> constexpr int columns_of = quant_block;
template <> constexpr int columns_of<PanelQ4K> = 256;

}  // namespace cria
