// Loops over rows and tensors in whole vectors and a tail: the body is written once, as a lambda over (index, lanes), and hands `lanes`
// on to load and store.
#pragma once
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

constexpr int64_t vector_block = 1 << 14;  // elements a thread takes at a time: long enough to hide the hand-out, short enough to balance

// The same over [0, count), shared by the team.
template <class F> CRIA_INLINE void each_vector(Team& team, int64_t count, F&& f) {
  team.each((count + vector_block - 1) / vector_block, [&](int64_t block) {
    const int64_t begin = block * vector_block;
    for_vectors(begin, count < begin + vector_block ? count : begin + vector_block, f);
  });
}

// As with_type (simd.h), for activations, which are f32 or bf16.
template <class F> CRIA_INLINE void with_float(DType dtype, F&& f) {
  if (dtype == DType::f32) f(float{});
  if (dtype == DType::bf16) f(bf16{});
}

}  // namespace cria::CRIA_ISA
