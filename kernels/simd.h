// Vectors of the native width: `vf` holds VL floats (16 AVX-512, 8 AVX2, 4 otherwise), `vi` as many int32. Besides the functions below,
// the operators + - * / < > == & | << >> and `mask ? a : b` work on whole vectors (GCC and Clang vector extensions; a comparison gives
// a `vi` of 0 and -1). Products are never contracted into fused ones behind your back (-ffp-contract=off): write fma where it is meant.
// All functions give the same bits on every lane position, so a row's result cannot depend on where it lies.
#pragma once
#include <cstring>

#include "kernel.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace cria::CRIA_ISA {

#if defined(__AVX512F__)
constexpr int VL = 16;
#elif defined(__AVX2__)
constexpr int VL = 8;
#else
constexpr int VL = 4;
#endif

typedef float vf __attribute__((vector_size(VL * 4)));
typedef float v8 __attribute__((vector_size(32)));
typedef float v4 __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(VL * 4)));
typedef uint32_t vu __attribute__((vector_size(VL * 4)));
typedef uint16_t vh __attribute__((vector_size(VL * 2)));  // VL halves

// ---- reinterpretation, broadcast

CRIA_INLINE vi bits(vf x) { return (vi)x; }
CRIA_INLINE vf from_bits(vi x) { return (vf)x; }
CRIA_INLINE vf zero() { return vf{}; }

CRIA_INLINE vf splat(float x) {
#if defined(__AVX512F__)
  return (vf)_mm512_set1_ps(x);
#elif defined(__AVX2__)
  return (vf)_mm256_set1_ps(x);
#else
  return vf{x, x, x, x};
#endif
}
CRIA_INLINE vi splat(int32_t x) { return vi{} + x; }

// ---- scalar conversion

CRIA_INLINE float to_float(float x) { return x; }
CRIA_INLINE float to_float(bf16 x) {
  const uint32_t word = static_cast<uint32_t>(x.bits) << 16;
  float y;
  memcpy(&y, &word, 4);
  return y;
}
CRIA_INLINE float to_float(f16 x) {
#if defined(__F16C__)
  return _cvtsh_ss(x.bits);
#else
  // A half's exponent and mantissa are a float's, scaled by 2^112; infinities and NaNs get the float's largest exponent.
  uint32_t word = (x.bits & 0x7fffu) << 13;
  float y;
  memcpy(&y, &word, 4);
  y *= 0x1p112f;
  memcpy(&word, &y, 4);
  if (y >= 65536.0f) word |= 0x7f800000u;
  word |= (x.bits & 0x8000u) << 16;
  memcpy(&y, &word, 4);
  return y;
#endif
}

template <class T> T from_float(float x);
template <> CRIA_INLINE float from_float<float>(float x) { return x; }
// Round to nearest even; NaN stays NaN (quiet).
template <> CRIA_INLINE bf16 from_float<bf16>(float x) {
  uint32_t word;
  memcpy(&word, &x, 4);
  if (x != x) return {static_cast<uint16_t>((word >> 16) | 0x40)};
  return {static_cast<uint16_t>((word + 0x7fff + ((word >> 16) & 1)) >> 16)};
}
template <> CRIA_INLINE f16 from_float<f16>(float x) {
#if defined(__F16C__)
  return {static_cast<uint16_t>(_cvtss_sh(x, 0))};
#else
  uint32_t word;
  memcpy(&word, &x, 4);
  const uint32_t sign = (word >> 16) & 0x8000u;
  word &= 0x7fffffffu;
  if (word > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u | ((word >> 13) & 0x3ffu))};
  if (word >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};  // rounds to 65536 or more
  float y;
  memcpy(&y, &word, 4);
  if (word < 0x38800000u) {  // subnormal half: adding 0.5 leaves its bits, rounded, at the end of the mantissa
    y += 0.5f;
    memcpy(&word, &y, 4);
    return {static_cast<uint16_t>(sign | (word - 0x3f000000u))};
  }
  word += 0xc8000fffu + ((word >> 13) & 1);
  return {static_cast<uint16_t>(sign | (word >> 13))};
#endif
}

// ---- loads and stores: VL consecutive values, any alignment

CRIA_INLINE vf load(const float* p) {
  vf x;
  memcpy(&x, p, sizeof x);
  return x;
}
CRIA_INLINE vi load(const int32_t* p) {
  vi x;
  memcpy(&x, p, sizeof x);
  return x;
}
CRIA_INLINE vf load(const bf16* p) {
#if defined(__AVX512F__)
  return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16);
#else
  vh x;
  memcpy(&x, p, sizeof x);
  return (vf)(__builtin_convertvector(x, vu) << 16);
#endif
}
CRIA_INLINE vf load(const f16* p) {
#if defined(__AVX512F__)
  return (vf)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__AVX2__)
  return (vf)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
  return vf{to_float(p[0]), to_float(p[1]), to_float(p[2]), to_float(p[3])};
#endif
}

CRIA_INLINE void store(float* p, vf x) { memcpy(p, &x, sizeof x); }
CRIA_INLINE void store(int32_t* p, vi x) { memcpy(p, &x, sizeof x); }

// The bf16 values nearest to x, each in the low half of its lane; as from_float<bf16>.
CRIA_INLINE vu round_bf16(vf x) {
  const vu word = (vu)x;
  const vu rounded = (word + (0x7fff + ((word >> 16) & 1))) >> 16;
  return (vu)((x != x) ? (vi)((word >> 16) | 0x40) : (vi)rounded);
}
CRIA_INLINE void store(bf16* p, vf x) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16((__m512i)round_bf16(x)));
#else
  const vh y = __builtin_convertvector(round_bf16(x), vh);
  memcpy(p, &y, sizeof y);
#endif
}
CRIA_INLINE void store(f16* p, vf x) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph((__m512)x, 0));
#elif defined(__AVX2__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph((__m256)x, 0));
#else
  for (int i = 0; i < VL; i++) p[i] = from_float<f16>(x[i]);
#endif
}

// VL signed bytes as integers; GCC 12 would widen them lane by lane.
CRIA_INLINE vi load_bytes(const char* p) {
#if defined(__AVX512F__)
  return (vi)_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
  return (vi)_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#else
  const auto* bytes = reinterpret_cast<const int8_t*>(p);
  return vi{bytes[0], bytes[1], bytes[2], bytes[3]};
#endif
}

// ---- tails: the first n < VL values; a load fills the other lanes with zeros and touches no memory beyond them

template <class T> CRIA_INLINE vf load(const T* p, int n) {
  T part[VL] = {};
  for (int i = 0; i < n; i++) part[i] = p[i];
  return load(part);
}
template <class T> CRIA_INLINE void store(T* p, vf x, int n) {
  T part[VL];
  store(part, x);
  for (int i = 0; i < n; i++) p[i] = part[i];
}
#if defined(__AVX512F__)
CRIA_INLINE __mmask16 first_lanes(int n) { return static_cast<__mmask16>((1u << n) - 1); }
template <> CRIA_INLINE vf load(const float* p, int n) { return (vf)_mm512_maskz_loadu_ps(first_lanes(n), p); }
template <> CRIA_INLINE void store(float* p, vf x, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), (__m512)x); }
#endif

// ---- arithmetic

// a * b + c: fused where the processor can, else rounded twice.
CRIA_INLINE vf fma(vf a, vf b, vf c) {
#if defined(__AVX512F__)
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}
// As fma on one number, with the same rounding.
CRIA_INLINE float fma(float a, float b, float c) {
#if defined(__FMA__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
CRIA_INLINE vf max(vf a, vf b) { return (a > b) ? a : b; }
CRIA_INLINE vf min(vf a, vf b) { return (a < b) ? a : b; }
CRIA_INLINE vf sqrt(vf x) {
#if defined(__AVX512F__)
  return (vf)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
  return (vf)_mm256_sqrt_ps((__m256)x);
#else
  for (int i = 0; i < VL; i++) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

// e^x within 1.5 ulp; gradual underflow, infinity above 88.72, NaN for NaN.
CRIA_INLINE vf exp(vf x) {
  const vf bounded = min(max(x, splat(-104.0f)), splat(89.0f));
  const vf magic = splat(0x1.8p23f);  // adding it rounds to an integer, which then is the sum's low bits
  const vf shifted = fma(bounded, splat(0x1.715476p+0f), magic);
  const vf n = shifted - magic;
  // ln 2 in two parts; the first has few enough bits that n times it is exact.
  vf r = fma(n, splat(-0x1.62e4p-1f), bounded);
  r = fma(n, splat(-0x1.7f7d1cp-20f), r);
  // Minimax polynomial of e^r on +-ln(2)/2.
  vf p = splat(0x1.a0d2cep-13f);
  p = fma(p, r, splat(0x1.6e8c8cp-10f));
  p = fma(p, r, splat(0x1.1110eep-7f));
  p = fma(p, r, splat(0x1.5554dep-5f));
  p = fma(p, r, splat(0x1.555556p-3f));
  p = fma(p, r, splat(0x1p-1f));
  p = fma(p, r * r, r) + splat(1.0f);
  // 2^n in two factors, so that results below the normal range are rounded once.
  const vi whole = bits(shifted) - bits(magic);
  const vi half = whole >> 1;
  const vf scaled = p * from_bits((half + 127) << 23) * from_bits((whole - half + 127) << 23);
  return (x != x) ? x : scaled;
}

// ---- across the lanes, always in the same order: halves are folded onto each other

// The upper lanes folded onto the lower ones by `combine` until four are left.
template <class F> CRIA_INLINE v4 fold_to_four(vf x, F&& combine) {
#if defined(__AVX512F__)
  const __m256 eight = (__m256)combine((v8)_mm512_castps512_ps256((__m512)x), (v8)_mm512_extractf32x8_ps((__m512)x, 1));
  return combine((v4)_mm256_castps256_ps128(eight), (v4)_mm256_extractf128_ps(eight, 1));
#elif defined(__AVX2__)
  return combine((v4)_mm256_castps256_ps128((__m256)x), (v4)_mm256_extractf128_ps((__m256)x, 1));
#else
  (void)combine;
  return x;
#endif
}
CRIA_INLINE float sum(vf x) {
  const v4 y = fold_to_four(x, [](auto a, auto b) { return a + b; });
  return (y[0] + y[2]) + (y[1] + y[3]);
}
CRIA_INLINE float max_of(vf x) {
  const v4 y = fold_to_four(x, [](auto a, auto b) { return (a > b) ? a : b; });
  const float even = y[0] > y[2] ? y[0] : y[2], odd = y[1] > y[3] ? y[1] : y[3];
  return even > odd ? even : odd;
}

// ---- products of bf16 pairs: each int32 lane holds two consecutive bf16 values, the earlier one in its low half

// acc + a.high * b.high, then + a.low * b.low: the order of the processor's own instruction. The products are exact in f32.
CRIA_INLINE vf dot_pairs(vf acc, vi a, vi b) {
#if defined(__AVX512BF16__)
  return (vf)_mm512_dpbf16_ps((__m512)acc, (__m512bh)a, (__m512bh)b);
#else
  const vi high = splat(static_cast<int32_t>(0xffff0000));
  acc = fma(from_bits(a & high), from_bits(b & high), acc);
  return fma(from_bits(a << 16), from_bits(b << 16), acc);
#endif
}

// Two vectors rounded to bf16 and interleaved: lane i holds (low[i], high[i]).
CRIA_INLINE vi pair_bf16(vf low, vf high) {
#if defined(__AVX512BF16__)
  const __m512i order = (__m512i)(vi{0x100000, 0x110001, 0x120002, 0x130003, 0x140004, 0x150005, 0x160006, 0x170007, 0x180008, 0x190009,
                                     0x1a000a, 0x1b000b, 0x1c000c, 0x1d000d, 0x1e000e, 0x1f000f});
  return (vi)_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low));
#else
  return (vi)(round_bf16(low) | (round_bf16(high) << 16));
#endif
}

// Calls f with a value of the C++ type of a floating dtype: `with_type(view.dtype, [&](auto type) { using T = decltype(type); ... })`.
template <class F> CRIA_INLINE void with_type(DType dtype, F&& f) {
  if (dtype == DType::f32) f(float{});
  if (dtype == DType::bf16) f(bf16{});
  if (dtype == DType::f16) f(f16{});
}

}  // namespace cria::CRIA_ISA
