// What this machine can do at most: the rate of multiply-adds and of reading memory, by the same threads that run programs.
#include <chrono>

#include "cpu.h"
#include "memory.h"
#include "simd.h"

namespace cria::CRIA_ISA {

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Best time of several rounds of `work` on all threads together.
template <class F> double best_seconds(Team& team, int rounds, F&& work) {
  double best = 1e30;
  for (int round = 0; round < rounds; round++) {
    team.barrier();
    const double start = now();
    work();
    team.barrier();
    const double seconds = now() - start;
    best = seconds < best ? seconds : best;
  }
  return best;
}

constexpr int chains = VL == 16 ? 24 : 12;
constexpr int64_t steps = 1 << 18;

// Independent chains of one instruction on registers; `per_step` operations per lane.
template <class F> double rate_of_chains(Team& team, int per_step, F&& step) {
  vf sums[chains];
  for (vf& x : sums) x = splat(1.0f);
  const double seconds = best_seconds(team, 9, [&] {
    for (int64_t i = 0; i < steps; i++)
#pragma GCC unroll 24
      for (int j = 0; j < chains; j++) sums[j] = step(sums[j]);
  });
  vf total = zero();
  for (vf x : sums) total += x;
  volatile float sink = sum(total);
  (void)sink;
  return static_cast<double>(per_step) * VL * chains * steps * team.size / seconds;
}

double multiply_add_f32(Team& team, int64_t) {
  vf a = splat(0.5f), b = splat(0.25f);
  __asm__ volatile("" : "+x"(a), "+x"(b));
  return rate_of_chains(team, 2, [=](vf x) { return fma(a, b, x); });
}

double multiply_add_bf16(Team& team, int64_t) {
  vi a = splat(int32_t{0x3f003f00}), b = splat(int32_t{0x3e803e80});
  __asm__ volatile("" : "+x"(a), "+x"(b));
  return rate_of_chains(team, 4, [=](vf x) { return dot_pairs(x, a, b); });
}

// Bytes per second of streaming through `bytes` of memory, each thread its own part.
double read_bandwidth(Team& team, int64_t bytes) {
  const int64_t part = bytes / team.size / 4096 * 4096;
  float* memory = static_cast<float*>(allocate_pages(part));
  if (memory == nullptr) return 0;
  for (int64_t i = 0; i < part / 4; i++) memory[i] = 1.0f;
  vf sums[8] = {};
  const double seconds = best_seconds(team, 9, [&] {
    for (int64_t i = 0; i + 8 * VL <= part / 4; i += 8 * VL)
      for (int j = 0; j < 8; j++) sums[j] += load(memory + i + j * VL);
  });
  volatile float sink = 0;
  for (vf x : sums) sink = sink + sum(x);
  free_pages(memory, part);
  return static_cast<double>(part) * team.size / seconds;
}

}  // namespace

extern const Probe probes[] = {
    {"multiplyAddF32", multiply_add_f32},
    {"multiplyAddBf16", multiply_add_bf16},
    {"readBandwidth", read_bandwidth},
    {nullptr, nullptr},
};

}  // namespace cria::CRIA_ISA
