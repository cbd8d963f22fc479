// Attention of a few rows (decoding): limited by reading the cache, so every key and value is read once for all query heads of its kv head.
// Keys lie across the lanes for the scores, turned in registers, and the head dim for the values. Bits as in attention.cpp.
#pragma once
#include <initializer_list>

#include "attention-tiles.h"

namespace cria::CRIA_ISA {

constexpr int few_rows = VL / 2;  // beyond these, rows across the lanes are faster

// The rows of one segment and kv head, `step` values apart, padded with zeros.
struct FewRows {
  int64_t rows = 0, step = 0;
  float *q = nullptr, *o = nullptr;
  // Of one tile: words [dim / values in a word][key_tile], scores [rows][key_tile], scales of 8-bit keys or values [dim / row_block][key_tile].
  float *words = nullptr, *scores = nullptr, *scales = nullptr;
  float *top = nullptr, *total = nullptr, *shrink = nullptr;
};

// Room for the rows of each of `heads` kv heads, to few[0 .. heads).
CRIA_INLINE void lay_out_few(Scratch& scratch, int64_t dim, int64_t heads, FewRows* few) {
  const int64_t step = round_up(dim, VL);
  float *words = scratch.take<float>(step * key_tile), *scores = scratch.take<float>(few_rows * key_tile), *scales = scratch.take<float>(step * key_tile / row_block);
  for (int64_t head = 0; head < heads; head++) {
    FewRows rows;
    rows.step = step;
    rows.words = words;
    rows.scores = scores;
    rows.scales = scales;
    for (float** matrix : {&rows.q, &rows.o}) *matrix = scratch.take<float>(few_rows * step);
    for (float** vector : {&rows.top, &rows.total, &rows.shrink}) *vector = scratch.take<float>(few_rows);
    if (few) few[head] = rows;
  }
}

// Walks through the next tile's keys and then its values and fetches them into the cache, line by line, spread evenly over the work on this tile
// (a quarter each while turning and scoring keys, half while adding values). It goes in the order of the addresses, which the processor recognises
// and runs ahead of; in the order in which heads are worked on, reading is half as fast.
struct Fetcher {
  const char *keys, *values;
  const int64_t* offset;  // of key_tile slots, in bytes
  int64_t bytes;          // wanted of each slot
  int64_t at = 0;
  int slot = 0;

  CRIA_INLINE void fetch() {
    if (slot >= 2 * key_tile) return;
    __builtin_prefetch((slot < key_tile ? keys + offset[slot] : values + offset[slot - key_tile]) + at, 0, 2);
    at += 64;
    if (at >= bytes) at = 0, slot++;
  }
};

// One head's part of a tile of keys or values.
template <class T> struct Stream {
  const char* head;
  const int64_t* offset;

  CRIA_INLINE const T* row(int64_t i) const { return reinterpret_cast<const T*>(head + offset[i]); }
  // VL values of key i from e on, of which `left` are its own; `scales` as in FewRows.
  CRIA_INLINE vf values(int64_t i, int64_t e, int64_t left, const float* scales) const {
    if constexpr (std::is_same_v<T, q8>) return load_q8_unscaled(head + offset[i], e) * splat(scales[e / row_block * key_tile + i]);
    else return load_values(row(i) + e, left);
  }
  // VL words.
  template <class Lanes> CRIA_INLINE vf words(int64_t i, int64_t e, Lanes lanes) const {
    if constexpr (std::is_same_v<T, q8>) return load_q8_words(head + offset[i], e, lanes);
    else return load(reinterpret_cast<const float*>(row(i) + e), lanes);
  }
};

// A key's values are turned in words of 32 bits: one f32, two of 16 bits or four of 8, which are told apart afterwards.
template <class T> constexpr int values_in_word = 4 / sizeof(T);
CRIA_INLINE vf word_value(vf word, int, float) { return word; }
CRIA_INLINE vf word_value(vf word, int which, q8) { return __builtin_convertvector(bits(word) << (24 - 8 * which) >> 24, vf); }
CRIA_INLINE vf word_value(vf word, int which, bf16) { return from_bits(which == 0 ? bits(word) << 16 : bits(word) & ~0xffff); }
CRIA_INLINE vf word_value(vf word, int which, f16) {
  const vu halves = which == 0 ? (vu)word : (vu)word >> 16;
#if defined(__AVX512F__)
  return (vf)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)halves));
#else
  const vh narrow = __builtin_convertvector(halves, vh);
  f16 part[VL];
  memcpy(part, &narrow, sizeof part);
  return load(part);
#endif
}

// Word w of a tile's key i to few.words[w * key_tile + i].
template <class T> void turn_keys(const FewRows& few, int64_t dim, const Stream<T>& keys, Fetcher& next) {
  for (int at = 0; at < key_tile; at += VL)
    for_vectors(0, dim / values_in_word<T>, [&](int64_t word, auto lanes) {
      const int64_t e = word * values_in_word<T>;
      vf square[VL];
#pragma GCC unroll 16
      for (int i = 0; i < VL; i++) {
        square[i] = keys.words(at + i, e, lanes);
        if (i % 2 == 0 || values_in_word<T> == 4) next.fetch();
      }
      transpose(square);
#pragma GCC unroll 16
      for (int i = 0; i < VL; i++) store(few.words + (word + i) * key_tile + at, square[i]);
    });
}

// The scales of a tile's 8-bit keys or values.
template <class T> void turn_scales(const FewRows& few, int64_t dim, const Stream<T>& rows) {
  if constexpr (std::is_same_v<T, q8>)
    for (int64_t block = 0; block < dim / row_block; block++)
      for (int i = 0; i < key_tile; i++) few.scales[block * key_tile + i] = q8_scale(rows.head + rows.offset[i] + block * row_block_bytes);
}

constexpr int few_vectors = VL == 16 ? 4 : 2;  // vectors of sums per row at a time

// Scores of a tile's keys with R rows from r on.
template <class T, int R> void score_keys(const FewRows& few, int64_t r, int64_t dim, vf log2_scale, Fetcher& next) {
  constexpr int N = few_vectors;
  const float* q = few.q + r * few.step;
  for (int at = 0; at < key_tile; at += N * VL) {
    vf sums[R][N];
    for (auto& row : sums)
      for (vf& sum : row) sum = zero();
    for (int64_t word = 0; word < dim / values_in_word<T>; word++) {
      const float* words = few.words + word * key_tile + at;
      for (int i = 0; i < std::max(2, values_in_word<T>); i++) next.fetch();
#pragma GCC unroll 4
      for (int which = 0; which < values_in_word<T>; which++)
#pragma GCC unroll 4
        for (int j = 0; j < N; j++) {
          vf value = word_value(load(words + j * VL), which, T{});
          if constexpr (std::is_same_v<T, q8>) value *= load(few.scales + word * values_in_word<T> / row_block * key_tile + at + j * VL);
#pragma GCC unroll 4
          for (int i = 0; i < R; i++) sums[i][j] = fma(splat(q[i * few.step + word * values_in_word<T> + which]), value, sums[i][j]);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
      for (int j = 0; j < N; j++) store(few.scores + (r + i) * key_tile + at + j * VL, sums[i][j] * log2_scale);
  }
}

// Turns row r's scores of a tile, of which it sees the first `visible`, into weights.
CRIA_INLINE void weigh_keys(const FewRows& few, int64_t r, int visible) {
  float* scores = few.scores + r * key_tile;
  const int padded = static_cast<int>(round_up(visible, VL));
  for (int i = visible; i < padded; i++) scores[i] = -__builtin_inff();
  vf top = splat(few.top[r]);
  for (int i = 0; i < padded; i += VL) top = max(top, load(scores + i));
  const float new_top = max_of(top);
  float partial[partial_sums] = {};
  for (int i = 0; i < padded; i += VL) {
    const vf weights = exp2_below(load(scores + i) - splat(new_top));
    store(scores + i, weights);
    float* sums = partial + i % partial_sums;
    store(sums, load(sums) + weights);
  }
  few.shrink[r] = exp2_below(splat(few.top[r] - new_top))[0];
  few.total[r] = fma(few.total[r], few.shrink[r], fold(partial));
  few.top[r] = new_top;
}

// Adds n weighted values to N vectors from e on of R rows from r on.
template <int R, int N, class T>
CRIA_INLINE void add_values(const FewRows& few, int64_t r, int64_t e, int64_t dim, int n, const Stream<T>& values, Fetcher& next) {
  vf sums[R][N];
  float* o = few.o + r * few.step + e;
#pragma GCC unroll 4
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < N; j++) sums[i][j] = load(o + i * few.step + j * VL) * splat(few.shrink[r + i]);
  for (int k = 0; k < n; k++) {
#pragma GCC unroll 4
    for (int j = 0; j < N; j++) {
      const vf value = values.values(k, e + j * VL, N > 1 ? VL : dim - e, few.scales);
      if (j % std::min(2, values_in_word<T>) == 0) next.fetch();
#pragma GCC unroll 4
      for (int i = 0; i < R; i++) sums[i][j] = fma(splat(few.scores[(r + i) * key_tile + k]), value, sums[i][j]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < N; j++) store(o + i * few.step + j * VL, sums[i][j]);
}

template <int R, class T> void add_rows(const FewRows& few, int64_t r, int64_t dim, int n, const Stream<T>& values, Fetcher& next) {
  int64_t e = 0;
  for (; e + few_vectors * VL <= dim; e += few_vectors * VL) add_values<R, few_vectors>(few, r, e, dim, n, values, next);
  for (; e < dim; e += VL) add_values<R, 1>(few, r, e, dim, n, values, next);
}

// Calls f(r, how many) for [begin, end) in runs of four and a last one of the rest, whose length is known when compiling.
template <int R = 4, class F> CRIA_INLINE void in_fours(int64_t begin, int64_t end, F&& f) {
  int64_t r = begin;
  for (; r + R <= end; r += R) f(r, std::integral_constant<int, R>{});
  if constexpr (R > 1) in_fours<R - 1>(r, end, f);
}

// One tile of n keys at `key`; there are key_tile offsets, the last key's repeated.
template <class T>
void attend_tile_few(const FewRows& few, const Heads& heads, const Segment& segment, int64_t key, int n, const Stream<T>& keys, const Stream<T>& values,
                     Fetcher& next) {
  turn_scales(few, heads.dim, keys);
  turn_keys(few, heads.dim, keys, next);
  in_fours(0, few.rows, [&](int64_t r, auto rows) { score_keys<T, rows>(few, r, heads.dim, splat(heads.log2_scale), next); });
  turn_scales(few, heads.dim, values);
  for (int64_t query = 0; query < segment.queries; query++) {
    const int visible = static_cast<int>(least(n, segment.keys - segment.queries + query + 1 - key));
    if (visible <= 0) continue;
    const int64_t begin = query * heads.group, end = begin + heads.group;
    for (int64_t r = begin; r < end; r++) weigh_keys(few, r, visible);
    in_fours(begin, end, [&](int64_t r, auto rows) { add_rows<rows>(few, r, heads.dim, visible, values, next); });
  }
}

}  // namespace cria::CRIA_ISA
