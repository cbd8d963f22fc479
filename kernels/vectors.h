// Loops over rows and tensors in whole vectors and a tail: the body is written once, as a lambda over (index, lanes), and hands `lanes`
// on to load and store.
#pragma once
#include <utility>

#include "simd.h"

namespace cria::CRIA_ISA {

struct AllLanes {};
struct FirstLanes {
  int n;
};

template <class T> CRIA_INLINE auto load(const T* p, AllLanes) { return load(p); }
template <class T> CRIA_INLINE auto load(const T* p, FirstLanes lanes) { return load(p, lanes.n); }
template <class T> CRIA_INLINE void store(T* p, vf x, AllLanes) { store(p, x); }
template <class T> CRIA_INLINE void store(T* p, vf x, FirstLanes lanes) { store(p, x, lanes.n); }

// Calls f(i, lanes) for i = begin, begin + VL, ... up to end.
template <class F> CRIA_INLINE void for_vectors(int64_t begin, int64_t end, F&& f) {
  int64_t i = begin;
  for (; i + VL <= end; i += VL) f(i, AllLanes{});
  if (i < end) f(i, FirstLanes{static_cast<int>(end - i)});
}

constexpr int64_t vector_block = 1 << 14;  // most elements a thread takes at a time: long enough to hide the hand-out, short enough to balance
constexpr int64_t least_block = 1 << 10;

// The same over [0, count), shared by the team.
template <class F> CRIA_INLINE void each_vector(Team& team, int64_t count, F&& f) {
  const int64_t share = (count / team.size + least_block) / least_block * least_block, size = share < vector_block ? share : vector_block;
  team.each((count + size - 1) / size, [&](int64_t block) {
    const int64_t begin = block * size;
    for_vectors(begin, count < begin + size ? count : begin + size, f);
  });
}

// Lane i takes lane I[i] of a and b laid end to end.
template <int... I> CRIA_INLINE vf shuffle(vf a, vf b, std::integer_sequence<int, I...>) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(a, b, I...);
#else
  return __builtin_shuffle(a, b, vi{I...});
#endif
}
template <int... I> CRIA_INLINE vf swap_pairs(vf x, std::integer_sequence<int, I...>) {
  return shuffle(x, x, std::integer_sequence<int, (I ^ 1)...>{});
}
template <int... I> CRIA_INLINE vf repeat_even(vf x, std::integer_sequence<int, I...>) {
  return shuffle(x, x, std::integer_sequence<int, (I & ~1)...>{});
}
template <int... I> CRIA_INLINE vf repeat_odd(vf x, std::integer_sequence<int, I...>) {
  return shuffle(x, x, std::integer_sequence<int, (I | 1)...>{});
}
// The lower or upper halves of a and b, lane by lane in turn.
template <int... I> CRIA_INLINE vf interleave_low(vf a, vf b, std::integer_sequence<int, I...>) {
  return shuffle(a, b, std::integer_sequence<int, (I / 2 + I % 2 * VL)...>{});
}
template <int... I> CRIA_INLINE vf interleave_high(vf a, vf b, std::integer_sequence<int, I...>) {
  return shuffle(a, b, std::integer_sequence<int, (VL / 2 + I / 2 + I % 2 * VL)...>{});
}
constexpr std::make_integer_sequence<int, VL> all_lanes{};

// Turns VL vectors, the rows of a square, into its columns.
CRIA_INLINE void transpose(vf (&x)[VL]) {
  for (int round = VL; round > 1; round /= 2) {
    vf y[VL];
#pragma GCC unroll 8
    for (int i = 0; i < VL / 2; i++) {
      y[2 * i] = interleave_low(x[i], x[i + VL / 2], all_lanes);
      y[2 * i + 1] = interleave_high(x[i], x[i + VL / 2], all_lanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) x[i] = y[i];
  }
}

// As with_type (simd.h), for activations, which are f32 or bf16.
template <class F> CRIA_INLINE void with_float(DType dtype, F&& f) {
  if (dtype == DType::f32) f(float{});
  if (dtype == DType::bf16) f(bf16{});
}

}  // namespace cria::CRIA_ISA
