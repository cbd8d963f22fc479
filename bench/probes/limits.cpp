// What this processor can do at most, in plain loops without any library: multiply-adds per second in f32, bf16 and int8, and bytes read per
// second. Prints JSON. Usage: limits [threads].
// Built by limits.ts with -march=native; what the instruction set lacks is null.
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Seconds that all threads together need for `work(thread)`, the best of several rounds.
double best_seconds(int threads, int rounds, const std::function<void(int)>& work) {
  double best = 1e30;
  for (int round = 0; round < rounds; round++) {
    std::atomic<int> ready{0};
    std::atomic<double> first{1e30};
    std::vector<std::thread> team;
    for (int id = 0; id < threads; id++)
      team.emplace_back([&, id] {
        ready++;
        while (ready < threads) std::this_thread::yield();
        double start = now(), seen = first;
        while (start < seen && !first.compare_exchange_weak(seen, start)) {}
        work(id);
      });
    for (std::thread& thread : team) thread.join();
    const double seconds = now() - first;
    best = seconds < best ? seconds : best;
  }
  return best;
}

constexpr int chains = 24;
constexpr int64_t steps = 4'000'000;

// Operations per second of independent chains x = step(x).
template <class V, class F> double chain_rate(int threads, int operations, V start, F step) {
  const double seconds = best_seconds(threads, 9, [&](int) {
    V x[chains];
    for (V& value : x) value = start;
    for (int64_t i = 0; i < steps; i++) {
#pragma GCC unroll 24
      for (int j = 0; j < chains; j++) x[j] = step(x[j]);
    }
    for (V& value : x) __asm__ volatile("" ::"x"(value));
  });
  return double(operations) * chains * steps * threads / seconds;
}

#if defined(__AVX512F__)
double f32_rate(int threads) {
  __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
  __asm__ volatile("" : "+x"(a), "+x"(b));
  return chain_rate(threads, 32, a, [=](__m512 x) { return _mm512_fmadd_ps(a, b, x); });
}
#elif defined(__AVX2__) && defined(__FMA__)
double f32_rate(int threads) {
  __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
  __asm__ volatile("" : "+x"(a), "+x"(b));
  return chain_rate(threads, 16, a, [=](__m256 x) { return _mm256_fmadd_ps(a, b, x); });
}
#else
double f32_rate(int threads) {
  typedef float v4 __attribute__((vector_size(16)));
  v4 a = {0.5f, 0.5f, 0.5f, 0.5f}, b = {0.25f, 0.25f, 0.25f, 0.25f};
  __asm__ volatile("" : "+x"(a), "+x"(b));
  return chain_rate(threads, 8, a, [=](v4 x) { return a * x + b; });
}
#endif

#if defined(__AVX512BF16__)
double bf16_rate(int threads) {
  __m512i a = _mm512_set1_epi32(0x3f003f00), b = _mm512_set1_epi32(0x3e803e80);
  __asm__ volatile("" : "+x"(a), "+x"(b));
  return chain_rate(threads, 64, _mm512_setzero_ps(), [=](__m512 x) { return _mm512_dpbf16_ps(x, (__m512bh)a, (__m512bh)b); });
}
#else
double bf16_rate(int) { return 0; }
#endif

#if defined(__AVX512VNNI__)
double int8_rate(int threads) {
  __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2);
  __asm__ volatile("" : "+x"(a), "+x"(b));
  // The intrinsic makes GCC 12 copy every accumulator.
  return chain_rate(threads, 128, _mm512_setzero_si512(), [=](__m512i x) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(x) : "v"(a), "v"(b));
    return x;
  });
}
#else
double int8_rate(int) { return 0; }
#endif

void* pages(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::exit(1);
#ifdef MADV_HUGEPAGE
  madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return memory;
}

// Bytes per second of streaming through memory far larger than any cache, each thread its own part.
double read_rate(int threads, size_t bytes_per_thread) {
  typedef int64_t v8 __attribute__((vector_size(64)));
  std::vector<v8*> parts;
  for (int id = 0; id < threads; id++) parts.push_back(static_cast<v8*>(pages(bytes_per_thread)));
  best_seconds(threads, 1, [&](int id) {
    for (size_t i = 0; i < bytes_per_thread / 8; i++) reinterpret_cast<int64_t*>(parts[id])[i] = int64_t(i);
  });
  const double seconds = best_seconds(threads, 9, [&](int id) {
    const v8* p = parts[id];
    v8 x[8] = {};
    for (size_t i = 0; i + 8 <= bytes_per_thread / 64; i += 8)
#pragma GCC unroll 8
      for (int j = 0; j < 8; j++) x[j] ^= p[i + j];
    v8 all = x[0] ^ x[1] ^ x[2] ^ x[3] ^ x[4] ^ x[5] ^ x[6] ^ x[7];
    volatile int64_t sink = all[0];
    (void)sink;
  });
  for (v8* part : parts) munmap(part, bytes_per_thread);
  return double(bytes_per_thread) * threads / seconds;
}

void print(const char* name, double value, const char* end) {
  if (value > 0) std::printf("\"%s\": %.6g%s", name, value, end);
  else std::printf("\"%s\": null%s", name, end);
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : int(std::thread::hardware_concurrency());
  std::printf("{");
  print("f32", f32_rate(threads), ", ");
  print("bf16", bf16_rate(threads), ", ");
  print("int8", int8_rate(threads), ", ");
  print("readBandwidth", read_rate(threads, size_t{256} << 20), "}\n");
}
