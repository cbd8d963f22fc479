// What every kernel sees: views on memory, the command to carry out, and the team of threads that carries it out together.
// Each kernel file is compiled once per instruction set inside the namespace CRIA_ISA (see build.ts); this header and the
// interpreter are compiled once.
//
// A kernel is `void op::name(const Command&, Team&)`, named as the operator and declared in operators.h. All threads of the team call it at the same time; they share the work through
// `team.each`, and the interpreter waits for all of them before the next command. Results must not depend on the number of threads:
// never split a sum, whatever is computed for one row or one output element is computed by one thread in one fixed order.
#pragma once
#include <atomic>
#include <cstdint>

// Code in this header is compiled for every instruction set, so it must never become a shared out-of-line copy of one of them.
#define CRIA_INLINE __attribute__((always_inline)) inline

namespace cria {

// Order and names as in src/tensor/dtype.ts.
enum class DType : int32_t { f32, bf16, f16, i32, row_q8, panel_f32, panel_bf16, panel_q8, panel_q4, panel_q4_min, panel_q4_k };

constexpr int panel_rows = 16;
constexpr int max_rank = 4;

// Storage types, distinct so that loads and stores overload on them (simd.h); arithmetic is f32 or the processor's own bf16 products.
struct bf16 { uint16_t bits; };
struct f16 { uint16_t bits; };

// A dense row-major tensor. `data` is null for an absent optional input.
struct View {
  void* data = nullptr;
  int64_t bytes = 0;
  DType dtype = DType::f32;
  int32_t rank = 0;
  int64_t dim[max_rank] = {0, 0, 0, 0};

  template <class T> CRIA_INLINE T* as() const { return static_cast<T*>(data); }
  CRIA_INLINE int64_t count() const {
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= dim[i];
    return n;
  }
  CRIA_INLINE explicit operator bool() const { return data != nullptr; }
};

constexpr int max_attrs = 8;

struct alignas(64) Counter { std::atomic<int64_t> next{0}; };

struct Command {
  int32_t op = 0;
  int32_t num_inputs = 0, num_outputs = 0;
  const View* in = nullptr;
  View* out = nullptr;
  View workspace;                     // scratch shared by the team, as large as the lowering asked for
  double attr[max_attrs] = {0};       // in the order native-lowering.ts writes them
};

// One thread's view of the team during a command.
struct Team {
  int id = 0;     // 0 .. size - 1
  int size = 1;
  class Shared* shared = nullptr;  // pool.cpp's own
  int counters_used = 0;           // since the last barrier; pool.cpp's own

  // Waits until all threads of the team are here.
  void barrier();

  // Calls f(i) for each i in [0, count) exactly once over the whole team, chunk by chunk as threads become free. All threads must call
  // it with the same count; there is no barrier at its end.
  template <class F> CRIA_INLINE void each(int64_t count, F&& f, int64_t chunk = 1) {
    std::atomic<int64_t>& next = open_counters(1)->next;
    for (int64_t begin = next.fetch_add(chunk, std::memory_order_relaxed); begin < count;
         begin = next.fetch_add(chunk, std::memory_order_relaxed)) {
      const int64_t end = begin + chunk < count ? begin + chunk : count;
      for (int64_t i = begin; i < end; i++) f(i);
    }
  }

  // As `each`, but every thread goes through a part of its own from front to back before it helps the others: what it reads then lies in
  // memory in the order of reading, and the processor's prefetcher runs ahead without end. Calls f(begin, end) with half of what is left of
  // a part at a time, since taking holds up the reads under way.
  template <class F> CRIA_INLINE void each_in_order(int64_t count, F&& f) {
    Counter* counters = open_counters(size);
    for (int k = 0; k < size; k++) {
      const int part = (id + k) % size;
      const int64_t end = count * (part + 1) / size, all = end - count * part / size;
      for (;;) {
        const int64_t halvings = counters[part].next.fetch_add(1, std::memory_order_relaxed), left = halvings < 63 ? all >> halvings : 0;
        if (left == 0) break;
        f(end - left, end - left / 2);
      }
    }
  }

  // Makes the run fail with this message (a string literal) after the current command: for data that points out of bounds, such as a
  // token id beyond the table. The kernel skips the offending element and goes on.
  void fail(const char* message);

  // This thread's own scratch memory, 64-byte aligned, kept between commands; grows on demand.
  void* scratch(int64_t bytes);

 private:
  Counter* open_counters(int count);  // fresh zeroed ones with each call, the same for all threads
};

using Kernel = void (*)(const Command&, Team&);

}  // namespace cria
