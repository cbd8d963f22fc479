// Packing of strips: lines that are consecutive in memory are transposed four at a time, others are copied.
#include "matrix-pack.h"

namespace cria::CRIA_ISA {

namespace {

// 2 * VL consecutive values rounded to bf16: lane i holds values 2i and 2i + 1.
CRIA_INLINE vi neighbours_bf16(vf first, vf second) {
#if defined(__AVX512BF16__)
  return (vi)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
#else
  bf16 part[2 * VL];
  store(part, first);
  store(part + VL, second);
  return load(reinterpret_cast<const int32_t*>(part));
#endif
}

// Within each group of four lanes, lane i of vector j goes to lane j of vector i

CRIA_INLINE void transpose_quads(vi x[4]) {
#if defined(__AVX512F__)
  const __m512 a = _mm512_unpacklo_ps((__m512)x[0], (__m512)x[1]), b = _mm512_unpackhi_ps((__m512)x[0], (__m512)x[1]);
  const __m512 c = _mm512_unpacklo_ps((__m512)x[2], (__m512)x[3]), d = _mm512_unpackhi_ps((__m512)x[2], (__m512)x[3]);
  x[0] = (vi)_mm512_unpacklo_pd((__m512d)a, (__m512d)c), x[1] = (vi)_mm512_unpackhi_pd((__m512d)a, (__m512d)c);
  x[2] = (vi)_mm512_unpacklo_pd((__m512d)b, (__m512d)d), x[3] = (vi)_mm512_unpackhi_pd((__m512d)b, (__m512d)d);
#elif defined(__AVX2__)
  const __m256 a = _mm256_unpacklo_ps((__m256)x[0], (__m256)x[1]), b = _mm256_unpackhi_ps((__m256)x[0], (__m256)x[1]);
  const __m256 c = _mm256_unpacklo_ps((__m256)x[2], (__m256)x[3]), d = _mm256_unpackhi_ps((__m256)x[2], (__m256)x[3]);
  x[0] = (vi)_mm256_unpacklo_pd((__m256d)a, (__m256d)c), x[1] = (vi)_mm256_unpackhi_pd((__m256d)a, (__m256d)c);
  x[2] = (vi)_mm256_unpacklo_pd((__m256d)b, (__m256d)d), x[3] = (vi)_mm256_unpackhi_pd((__m256d)b, (__m256d)d);
#else
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < i; j++) {
      const int32_t swapped = x[i][j];
      x[i][j] = x[j][i];
      x[j][i] = swapped;
    }
#endif
}

// The four lanes of x from lane 4 * quad on.
template <int quad> CRIA_INLINE void store_quad(int32_t* p, vi x) {
#if defined(__AVX512F__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_extracti32x4_epi32((__m512i)x, quad));
#elif defined(__AVX2__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_extracti128_si256((__m256i)x, quad));
#else
  store(p, x);
#endif
}

// Writes the first `columns` columns of a transposed square, each a piece of four words, `width` words apart.
template <int quad = 0> CRIA_INLINE void store_columns(int32_t* out, int64_t width, const vi square[4], int64_t columns) {
  if constexpr (quad < VL / 4) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
      if (4 * quad + j < columns) store_quad<quad>(out + (4 * quad + j) * width, square[j]);
    store_columns<quad + 1>(out, width, square, columns);
  }
}

// VL words of one line from the value `k` on; beyond `depth` they are zero.
template <class P, class T> CRIA_INLINE vi line_words(const T* line, int64_t k, int64_t depth) {
  const int64_t left = depth - k;
  if constexpr (P::values == 1) {
    return bits(left >= VL ? load(line + k) : load(line + k, static_cast<int>(left)));
  } else if constexpr (sizeof(T) == 2) {
    if (left >= 2 * VL) return load(reinterpret_cast<const int32_t*>(line + k));
    bf16 part[2 * VL] = {};
    memcpy(part, line + k, left * sizeof(bf16));
    return load(reinterpret_cast<const int32_t*>(part));
  } else {
    if (left >= 2 * VL) return neighbours_bf16(load(line + k), load(line + k + VL));
    float part[2 * VL] = {};
    memcpy(part, line + k, left * sizeof(float));
    return neighbours_bf16(load(part), load(part + VL));
  }
}

#if defined(__AVX512F__)
// Sixteen lines by sixteen words at once, in registers throughout: quads are transposed within, then exchanged as wholes.
template <class P, class T> CRIA_INLINE void pack_square(const T* lines, int64_t stride, int64_t k, int64_t depth, int32_t* out) {
  vi square[4][4];
#pragma GCC unroll 4
  for (int group = 0; group < 4; group++) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) square[group][i] = line_words<P>(lines + (4 * group + i) * stride, k, depth);
    transpose_quads(square[group]);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    const __m512i a = (__m512i)square[0][j], b = (__m512i)square[1][j], c = (__m512i)square[2][j], d = (__m512i)square[3][j];
    const __m512i ab_even = _mm512_shuffle_i32x4(a, b, 0x88), ab_odd = _mm512_shuffle_i32x4(a, b, 0xdd);
    const __m512i cd_even = _mm512_shuffle_i32x4(c, d, 0x88), cd_odd = _mm512_shuffle_i32x4(c, d, 0xdd);
    store(out + j * panel_rows, (vi)_mm512_shuffle_i32x4(ab_even, cd_even, 0x88));
    store(out + (4 + j) * panel_rows, (vi)_mm512_shuffle_i32x4(ab_odd, cd_odd, 0x88));
    store(out + (8 + j) * panel_rows, (vi)_mm512_shuffle_i32x4(ab_even, cd_even, 0xdd));
    store(out + (12 + j) * panel_rows, (vi)_mm512_shuffle_i32x4(ab_odd, cd_odd, 0xdd));
  }
}
#endif

// Line by line: squares of four lines by VL words are transposed and written in pieces of four. A piece that is wider than its line group
// spills into words that are written after it: of the following groups last to first, then of the following words.
template <class P, class T> void pack_lines(const Operand& from, int64_t first_line, int64_t count, int width, const Strips& strips, int32_t* out) {
  const T* lines = static_cast<const T*>(from.data) + first_line * from.stride;
  for (int64_t word = strips.first_word; word < strips.last_word; word += VL, out += VL * width) {
    const int64_t columns = strips.last_word - word < VL ? strips.last_word - word : VL;
    // The next strip's lines; they are as far apart as these, which no hardware prefetcher follows.
    for (int i = 0; i < width; i++)
      for (int64_t byte = 0; byte < VL * P::values * static_cast<int64_t>(sizeof(T)); byte += 64)
        __builtin_prefetch(reinterpret_cast<const char*>(lines + (width + i) * from.stride + word * P::values) + byte);
#if defined(__AVX512F__)
    if (count == panel_rows && columns == VL) {
      pack_square<P>(lines, from.stride, word * P::values, from.depth, out);
      continue;
    }
#endif
    for (int group = (width - 1) / 4 * 4; group >= 0; group -= 4) {
      vi square[4];
      for (int i = 0; i < 4; i++)
        square[i] = group + i < count ? line_words<P>(lines + (group + i) * from.stride, word * P::values, from.depth) : vi{};
      transpose_quads(square);
      if (columns == VL) store_columns(out + group, width, square, VL);
      else store_columns(out + group, width, square, columns);
    }
  }
}

// Words of VL neighbouring lines at one depth.
template <class P, class T, class Lanes> CRIA_INLINE vi depth_words(const T* values, int64_t stride, bool last_is_single, Lanes lanes) {
  if constexpr (P::values == 1) {
    return bits(load(values, lanes));
  } else {
    const vf first = load(values, lanes), second = last_is_single ? zero() : load(values + stride, lanes);
    if constexpr (sizeof(T) == 2) return (vi)((vu)first >> 16 | (vu)second);
    else return pair_bf16(first, second);
  }
}

// Steps that are fetched ahead, enough to cover a miss of all caches at the pace of copying.
constexpr int64_t prefetch_depths = 8;
constexpr int64_t prefetch_words = 4;

// One word of a strip. A narrow one spills into the following word, which is written after it.
template <class P, class T> CRIA_INLINE void pack_word(const T* values, int64_t stride, bool single, int64_t count, int width, int32_t* out) {
  for (int lane = 0; lane < width; lane += VL) {
    const int64_t left = count - lane;
    if (left >= VL) store(out + lane, depth_words<P>(values + lane, stride, single, AllLanes{}));
    else store(out + lane, left > 0 ? depth_words<P>(values + lane, stride, single, FirstLanes{static_cast<int>(left)}) : vi{});
  }
}

// Depth by depth: all strips side by side, so that whole cache lines are read.
template <class P, class T> void pack_depths(const Operand& from, const Strips& strips) {
  const int64_t whole = strips.lines / panel_rows, rest = strips.lines % panel_rows;
  for (int64_t word = strips.first_word; word < strips.last_word; word++) {
    const T* values = static_cast<const T*>(from.data) + word * P::values * from.stride + strips.first_line;
    const bool single = P::values == 2 && word * 2 + 1 == from.depth;
    int32_t* out = strips.out + (word - strips.first_word) * panel_rows;
    for (int64_t i = 0; i < whole; i++, values += panel_rows, out += strips.stride_words) {
      pack_word<P>(values, from.stride, single, panel_rows, panel_rows, out);
      __builtin_prefetch(out + prefetch_words * panel_rows, 1);
      for (int j = 0; j < P::values; j++) __builtin_prefetch(values + (prefetch_depths + j) * from.stride);
    }
    if (rest == 0) continue;
    out = strips.out + whole * strips.stride_words + (word - strips.first_word) * strips.last_width;
    pack_word<P>(values, from.stride, single, rest, strips.last_width, out);
  }
}

template <class P, class T> void pack(const Operand& from, const Strips& strips) {
  if (!from.line_by_line) return pack_depths<P, T>(from, strips);
  for (int64_t line = 0, i = 0; line < strips.lines; line += panel_rows, i++) {
    const int64_t count = strips.lines - line < panel_rows ? strips.lines - line : panel_rows;
    const int width = count < panel_rows ? strips.last_width : panel_rows;
    pack_lines<P, T>(from, strips.first_line + line, count, width, strips, strips.out + i * strips.stride_words);
  }
}

}  // namespace

void pack_strips(const Operand& from, DType arithmetic, const Strips& strips) {
  with_float(from.dtype, [&](auto type) {
    using T = decltype(type);
    if (arithmetic == DType::bf16) pack<Bf16Words, T>(from, strips);
    else pack<F32Words, T>(from, strips);
  });
}

}  // namespace cria::CRIA_ISA
