// The register-blocked product that attention is made of: c[m][n] = sum over k of a[m][k] * b[k][n], with n across the lanes and every sum one
// chain of fused multiply-adds in the order of k. Its operands are words: one f32, or a pair of bf16 values whose two products are summed at once.
#pragma once
#include "vectors.h"

namespace cria::CRIA_ISA {

struct F32Words {
  using Value = float;
  using Word = float;
  using Vector = vf;
  static constexpr DType dtype = DType::f32;
  static constexpr int values = 1;
  static CRIA_INLINE vf dot(vf sum, vf a, vf b) { return fma(a, b, sum); }
  static CRIA_INLINE void store_values(float* p, vf x) { store(p, x); }
  // The word made of values x[0], x[1] ... of each lane.
  static CRIA_INLINE void store_word(float* p, const vf* x) { store(p, x[0]); }
  // The bits of a word that holds values 0, 1 ... up to value `last`.
  static CRIA_INLINE vi up_to(vi last) { return last >= 0; }
};

struct Bf16Words {
  using Value = bf16;
  using Word = int32_t;
  using Vector = vi;
  static constexpr DType dtype = DType::bf16;
  static constexpr int values = 2;
  static CRIA_INLINE vf dot(vf sum, vi a, vi b) { return dot_pairs(sum, a, b); }
  static CRIA_INLINE void store_values(bf16* p, vf x) { store(p, x); }
  static CRIA_INLINE void store_word(int32_t* p, const vf* x) { store(p, pair_bf16(x[0], x[1])); }
  static CRIA_INLINE vi up_to(vi last) { return ((last >= 0) & 0xffff) | ((last >= 1) & ~0xffff); }
};

// A matrix of words read by rows (step_k = 1) or by columns (step_m = 1).
template <class Word> struct Words {
  const Word* at;
  int64_t step_m, step_k;
};

constexpr int product_rows = VL == 16 ? 8 : 4;  // as many sums as hide the latency of one, with registers to spare

struct KeepAll {};

// One block of product_rows x (N * VL) values. start(i, j) gives the value that the sum of row i, vector j begins with, finish(i, sums) takes
// row i's sums, and mask(k, j), unless it is KeepAll, the bits of the words a[.][k] that count in vector j.
template <class P, int N, class Start, class Finish, class Mask = KeepAll>
CRIA_INLINE void product_block(int64_t depth, Words<typename P::Word> a, const typename P::Word* b, int64_t step_b, Start&& start,
                               Finish&& finish, Mask&& mask = {}) {
  using Vector = typename P::Vector;
  constexpr bool masked = !std::is_same_v<std::decay_t<Mask>, KeepAll>;
  vf sums[product_rows][N];
#pragma GCC unroll 8
  for (int i = 0; i < product_rows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < N; j++) sums[i][j] = start(i, j);
  for (int64_t k = 0; k < depth; k++) {
    Vector right[N];
    vi kept[N];
#pragma GCC unroll 4
    for (int j = 0; j < N; j++) {
      right[j] = load(b + k * step_b + j * VL);
      if constexpr (masked) kept[j] = mask(k, j);
    }
#pragma GCC unroll 8
    for (int i = 0; i < product_rows; i++) {
      const Vector left = splat(a.at[i * a.step_m + k * a.step_k]);
#pragma GCC unroll 4
      for (int j = 0; j < N; j++) {
        if constexpr (masked) sums[i][j] = P::dot(sums[i][j], (Vector)((vi)left & kept[j]), right[j]);
        else sums[i][j] = P::dot(sums[i][j], left, right[j]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < product_rows; i++) finish(i, sums[i]);
}

}  // namespace cria::CRIA_ISA
