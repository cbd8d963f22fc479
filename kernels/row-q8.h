// Rows of 8-bit values, for keys and values: blocks of 32 columns, an f16 scale and then a signed byte a column (the last block is filled up).
// value = scale * byte, exact in f32.
#pragma once
#include <algorithm>

#include "vectors.h"

namespace cria::CRIA_ISA {

constexpr int row_block = 32, row_block_bytes = 34;  // as rowBytes in src/tensor/dtype.ts

// A byte of such a row; its scale stands before the block.
struct q8 { int8_t bits; };

CRIA_INLINE int64_t q8_row_bytes(int64_t columns) { return (columns + row_block - 1) / row_block * row_block_bytes; }

CRIA_INLINE float q8_scale(const char* block) {
  f16 scale;
  memcpy(&scale, block, sizeof scale);
  return to_float(scale);
}

CRIA_INLINE const char* q8_block(const char* row, int64_t column) { return row + static_cast<uint64_t>(column) / row_block * row_block_bytes; }

// VL bytes of a row from `column` on, all in one block, without their scale.
CRIA_INLINE vf load_q8_unscaled(const char* row, int64_t column) {
  return __builtin_convertvector(load_bytes(q8_block(row, column) + 2 + static_cast<uint64_t>(column) % row_block), vf);
}
CRIA_INLINE vf load_q8(const char* row, int64_t column) { return load_q8_unscaled(row, column) * splat(q8_scale(q8_block(row, column))); }

// VL words of four bytes of a row from `column` on; the columns end with a block.
template <class Lanes> CRIA_INLINE vf load_q8_words(const char* row, int64_t column, Lanes lanes) {
  const char* at = q8_block(row, column) + 2 + static_cast<uint64_t>(column) % row_block;
  const auto* words = reinterpret_cast<const float*>(at);
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<Lanes, AllLanes>)  // from two blocks
    return (vf)_mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(words)), _mm256_loadu_ps(reinterpret_cast<const float*>(at + row_block_bytes)), 1);
#endif
  return load(words, lanes);
}

// Columns [first, first + count) of a row.
CRIA_INLINE void unpack_q8(const char* row, int64_t first, int64_t count, float* out) {
  const bool is_aligned = first % VL == 0 && count % VL == 0;
  for (int64_t i = 0; is_aligned && i < count; i += VL) store(out + i, load_q8(row, first + i));
  for (int64_t i = 0; !is_aligned && i < count; i++) {
    const char* block = row + (first + i) / row_block * row_block_bytes;
    out[i] = q8_scale(block) * static_cast<float>(static_cast<int8_t>(block[2 + (first + i) % row_block]));
  }
}

// Rounds a row: the value of largest magnitude in a block becomes 127 or -127 times its scale.
template <class T> void pack_q8(const T* x, int64_t columns, char* row) {
  const vf magic = splat(12582912.0f);  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  for (int64_t begin = 0; begin < columns; begin += row_block, row += row_block_bytes) {
    float values[row_block] = {};
    for_vectors(0, std::min<int64_t>(row_block, columns - begin), [&](int64_t i, auto lanes) { store(values + i, load(x + begin + i, lanes), lanes); });
    vf largest = zero();
    for (int64_t i = 0; i < row_block; i += VL) largest = max(largest, from_bits(bits(load(values + i)) & 0x7fffffff));
    const f16 scale = from_float<f16>(max_of(largest) / 127.0f);
    const vf inverse = splat(to_float(scale) > 0 ? 1.0f / to_float(scale) : 0.0f);
    memcpy(row, &scale, sizeof scale);
    for (int64_t i = 0; i < row_block; i += VL) {
      const vf bounded = min(max(load(values + i) * inverse, splat(-127.0f)), splat(127.0f));
      const vi whole = bits(bounded + magic) - bits(magic);
      for (int lane = 0; lane < VL; lane++) row[2 + i + lane] = static_cast<char>(whole[lane]);
    }
  }
}

}  // namespace cria::CRIA_ISA
