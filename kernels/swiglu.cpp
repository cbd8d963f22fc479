// The gated activation of the feed-forward layer, silu(gate) * up with silu(x) = x * sigmoid(x), and its gradient (arXiv:2002.05202).
#include "operators.h"
#include "vectors.h"

namespace cria::CRIA_ISA {
namespace {

CRIA_INLINE vf logistic(vf x) { return splat(1.0f) / (splat(1.0f) + exp(-x)); }

}  // namespace

void op::swiglu(const Command& command, Team& team) {
  with_float(command.in[0].dtype, [&](auto type) {
    with_float(command.out[0].dtype, [&](auto type_y) {
      const auto *gate = command.in[0].as<decltype(type)>(), *up = command.in[1].as<decltype(type)>();
      auto* y = command.out[0].as<decltype(type_y)>();
      each_vector(team, command.out[0].count(), [&](int64_t i, auto lanes) {
        const vf g = load(gate + i, lanes);
        store(y + i, g * logistic(g) * load(up + i, lanes), lanes);
      });
    });
  });
}

void op::swigluGrad(const Command& command, Team& team) {
  with_float(command.in[0].dtype, [&](auto type_dy) {
    with_float(command.in[1].dtype, [&](auto type) {
      using T = decltype(type);
      const auto* dy = command.in[0].as<decltype(type_dy)>();
      const auto *gate = command.in[1].as<T>(), *up = command.in[2].as<T>();
      auto *dgate = command.out[0].as<T>(), *dup = command.out[1].as<T>();
      each_vector(team, command.out[0].count(), [&](int64_t i, auto lanes) {
        const vf d = load(dy + i, lanes), g = load(gate + i, lanes), u = load(up + i, lanes);
        const vf s = logistic(g), silu = g * s;
        store(dup + i, d * silu, lanes);
        store(dgate + i, d * u * (s + silu * (splat(1.0f) - s)), lanes);
      });
    });
  });
}

}  // namespace cria::CRIA_ISA
