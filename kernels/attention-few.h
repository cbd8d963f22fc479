// Attention of a few rows (decoding): limited by reading the cache, so every key and value is read once for all query heads of its kv head.
// Keys lie across the lanes for the scores, turned in registers, and the head dim for the values. Bits as in attention.cpp.
#pragma once
#include "attention-tiles.h"

namespace cria::CRIA_ISA {

constexpr int few_rows = VL / 2;  // beyond these, rows across the lanes are faster

// The rows of one segment and kv head, `step` values apart, padded with zeros.
struct FewRows {
  int64_t rows, step;
  float *q, *o, *scores;  // scores [rows][key_tile]
  float *top, *total, *shrink;
};

CRIA_INLINE FewRows lay_out_few(Scratch& scratch, int64_t dim) {
  const int64_t step = round_up(dim, VL);
  FewRows few{0, step, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
  few.q = scratch.take<float>(few_rows * step);
  few.o = scratch.take<float>(few_rows * step);
  few.scores = scratch.take<float>(few_rows * key_tile);
  few.top = scratch.take<float>(few_rows);
  few.total = scratch.take<float>(few_rows);
  few.shrink = scratch.take<float>(few_rows);
  return few;
}

// A tile's rows (offsets of its keys' slots from `head`), and those of the next tile, which are fetched into the cache meanwhile: one head's
// part of a slot is too short for the processor to see a stream in it.
template <class T> struct Stream {
  const T* head;
  const int64_t *offset, *next_offset;

  CRIA_INLINE const T* row(int64_t i) const { return head + offset[i]; }
  CRIA_INLINE void fetch_next(int64_t i, int64_t e) const { __builtin_prefetch(head + next_offset[i] + e, 0, 2); }
};

// Adds the products of values [e, e + VL) of VL keys, one key a vector, to the keys' scores with each row.
CRIA_INLINE void score_square(const FewRows& few, int64_t e, vf (&square)[VL], vf* sums) {
  transpose(square);
  for (int64_t r = 0; r < few.rows; r++) {
    const float* q = few.q + r * few.step + e;
    vf sum = sums[r];
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) sum = fma(splat(q[i]), square[i], sum);
    sums[r] = sum;
  }
}

// Scores of the keys [at, at + VL) of a tile with all rows.
template <class T> CRIA_INLINE void score_keys(const FewRows& few, int64_t dim, vf log2_scale, int at, const Stream<T>& keys) {
  vf sums[few_rows];
  for (int r = 0; r < few_rows; r++) sums[r] = zero();
  for_vectors(0, dim, [&](int64_t e, auto lanes) {
    vf square[VL];
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) {
      square[i] = load(keys.row(at + i) + e, lanes);
      keys.fetch_next(at + i, e);
    }
    score_square(few, e, square, sums);
  });
  for (int64_t r = 0; r < few.rows; r++) store(few.scores + r * key_tile + at, sums[r] * log2_scale);
}

// Turns row r's scores of a tile, of which it sees the first `visible` and `padded` are there, into weights.
CRIA_INLINE void weigh_keys(const FewRows& few, int64_t r, int visible, int padded) {
  float* scores = few.scores + r * key_tile;
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
CRIA_INLINE void add_values(const FewRows& few, int64_t r, int64_t e, int64_t dim, int n, const Stream<T>& values) {
  vf sums[R][N];
  float* o = few.o + r * few.step + e;
#pragma GCC unroll 4
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < N; j++) sums[i][j] = load(o + i * few.step + j * VL) * splat(few.shrink[r + i]);
  for (int k = 0; k < n; k++) {
    const T* row = values.row(k) + e;
#pragma GCC unroll 4
    for (int j = 0; j < N; j++) {
      const vf value = N > 1 ? load(row + j * VL) : load_values(row, dim - e);
      values.fetch_next(k, e + j * VL);
#pragma GCC unroll 4
      for (int i = 0; i < R; i++) sums[i][j] = fma(splat(few.scores[(r + i) * key_tile + k]), value, sums[i][j]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < N; j++) store(o + i * few.step + j * VL, sums[i][j]);
}

template <int R, class T> void add_rows(const FewRows& few, int64_t r, int64_t dim, int n, const Stream<T>& values) {
  constexpr int many = VL == 16 ? 4 : 2;
  int64_t e = 0;
  for (; e + many * VL <= dim; e += many * VL) add_values<R, many>(few, r, e, dim, n, values);
  for (; e < dim; e += VL) add_values<R, 1>(few, r, e, dim, n, values);
}

// One tile of n keys at `key`; there are key_tile offsets, the last key's repeated.
template <class T>
void attend_tile_few(const FewRows& few, const Heads& heads, const Segment& segment, int64_t key, int n, const Stream<T>& keys, const Stream<T>& values) {
  const int padded = static_cast<int>(round_up(n, VL));
  for (int at = 0; at < padded; at += VL) score_keys(few, heads.dim, splat(heads.log2_scale), at, keys);
  for (int64_t query = 0; query < segment.queries; query++) {
    const int visible = static_cast<int>(least(n, segment.keys - segment.queries + query + 1 - key));
    if (visible <= 0) continue;
    int64_t r = query * heads.group;
    const int64_t end = r + heads.group;
    for (int64_t i = r; i < end; i++) weigh_keys(few, i, visible, padded);
    for (; r + 4 <= end; r += 4) add_rows<4>(few, r, heads.dim, visible, values);
    for (; r + 2 <= end; r += 2) add_rows<2>(few, r, heads.dim, visible, values);
    for (; r < end; r++) add_rows<1>(few, r, heads.dim, visible, values);
  }
}

}  // namespace cria::CRIA_ISA
