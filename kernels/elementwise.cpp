// Elementwise operators, and those that only fill or copy. `add` and `cast` take and give the storage types; the others are f32.
// Meaning: src/tensor/operators.ts. An output may be one of the inputs.
#include "operators.h"
#include "vectors.h"

namespace cria::CRIA_ISA {
namespace {

template <class F> CRIA_INLINE void unary(const Command& command, Team& team, F&& f) {
  const float* x = command.in[0].as<float>();
  float* y = command.out[0].as<float>();
  each_vector(team, command.out[0].count(), [&](int64_t i, auto lanes) { store(y + i, f(load(x + i, lanes)), lanes); });
}

template <class F> CRIA_INLINE void binary(const Command& command, Team& team, F&& f) {
  const float *a = command.in[0].as<float>(), *b = command.in[1].as<float>();
  float* y = command.out[0].as<float>();
  each_vector(team, command.out[0].count(),
              [&](int64_t i, auto lanes) { store(y + i, f(load(a + i, lanes), load(b + i, lanes)), lanes); });
}

// For functions that only ever see small tensors (losses): the C library's, lane by lane.
template <class F> CRIA_INLINE vf lanewise(vf x, F&& f) {
  for (int i = 0; i < VL; i++) x[i] = f(x[i]);
  return x;
}

void fill(const View& out, float value, Team& team) {
  float* y = out.as<float>();
  each_vector(team, out.count(), [&](int64_t i, auto lanes) { store(y + i, splat(value), lanes); });
}

}  // namespace

namespace op {

void add(const Command& command, Team& team) {
  with_float(command.in[0].dtype, [&](auto type_a) {
    with_float(command.in[1].dtype, [&](auto type_b) {
      with_float(command.out[0].dtype, [&](auto type_y) {
        const auto* a = command.in[0].as<decltype(type_a)>();
        const auto* b = command.in[1].as<decltype(type_b)>();
        auto* y = command.out[0].as<decltype(type_y)>();
        each_vector(team, command.out[0].count(),
                    [&](int64_t i, auto lanes) { store(y + i, load(a + i, lanes) + load(b + i, lanes), lanes); });
      });
    });
  });
}

void cast(const Command& command, Team& team) {
  with_type(command.in[0].dtype, [&](auto type_x) {
    with_type(command.out[0].dtype, [&](auto type_y) {
      const auto* x = command.in[0].as<decltype(type_x)>();
      auto* y = command.out[0].as<decltype(type_y)>();
      each_vector(team, command.out[0].count(), [&](int64_t i, auto lanes) { store(y + i, load(x + i, lanes), lanes); });
    });
  });
}

void sub(const Command& command, Team& team) {
  binary(command, team, [](vf a, vf b) { return a - b; });
}
void mul(const Command& command, Team& team) {
  binary(command, team, [](vf a, vf b) { return a * b; });
}
void div(const Command& command, Team& team) {
  binary(command, team, [](vf a, vf b) { return a / b; });
}
// NaN if either is NaN.
void minimum(const Command& command, Team& team) {
  binary(command, team, [](vf a, vf b) { return ((a < b) | (a != a)) ? a : b; });
}
void maximum(const Command& command, Team& team) {
  binary(command, team, [](vf a, vf b) { return ((a > b) | (a != a)) ? a : b; });
}
void greaterEqual(const Command& command, Team& team) {
  binary(command, team, [](vf a, vf b) { return (a >= b) ? splat(1.0f) : zero(); });
}

void affine(const Command& command, Team& team) {
  const vf factor = splat(static_cast<float>(command.attr[0])), offset = splat(static_cast<float>(command.attr[1]));
  unary(command, team, [&](vf x) { return fma(x, factor, offset); });
}
void exp(const Command& command, Team& team) {
  unary(command, team, [](vf x) { return CRIA_ISA::exp(x); });
}
void log(const Command& command, Team& team) {
  unary(command, team, [](vf x) { return lanewise(x, [](float y) { return __builtin_logf(y); }); });
}
void sqrt(const Command& command, Team& team) {
  unary(command, team, [](vf x) { return CRIA_ISA::sqrt(x); });
}
void sigmoid(const Command& command, Team& team) {
  unary(command, team, [](vf x) { return splat(1.0f) / (splat(1.0f) + CRIA_ISA::exp(-x)); });
}
void softplus(const Command& command, Team& team) {
  unary(command, team, [](vf x) {
    const vf tail = CRIA_ISA::exp((x > 0) ? -x : x);
    return ((x > 0) ? x : (x != x) ? x : zero()) + lanewise(tail, [](float y) { return __builtin_log1pf(y); });
  });
}

void constant(const Command& command, Team& team) { fill(command.out[0], static_cast<float>(command.attr[0]), team); }
void expand(const Command& command, Team& team) { fill(command.out[0], *command.in[0].as<float>(), team); }

void assign(const Command& command, Team& team) {
  const auto* value = command.in[1].as<const char>();
  auto* state = command.out[0].as<char>();
  const int64_t bytes = command.out[0].bytes, chunk = 1 << 16;
  team.each((bytes + chunk - 1) / chunk, [&](int64_t i) {
    memmove(state + i * chunk, value + i * chunk, bytes - i * chunk < chunk ? bytes - i * chunk : chunk);
  });
}

}  // namespace op
}  // namespace cria::CRIA_ISA
