// Rotary position embedding (arXiv:2104.09864) in Meta's layout: the pair (2i, 2i + 1) of every head is turned by the angle whose cosine and
// sine stand in the table's row of the token's position; `inverse` turns back, which is the gradient. The output may be the input.
#include "operators.h"
#include "vectors.h"

namespace cria::CRIA_ISA {
void op::rope(const Command& command, Team& team) {
  const int64_t tokens = command.in[0].dim[0], width = command.in[0].dim[1], rows = command.in[1].dim[0];
  const int64_t head_dim = static_cast<int64_t>(command.attr[0]);
  vf sign;  // of the sine: the first of a pair takes -sin, the second +sin; the other way round to turn back
  for (int i = 0; i < VL; i++) sign[i] = (i & 1) == static_cast<int>(command.attr[1]) ? -1.0f : 1.0f;
  const float* table = command.in[1].as<float>();
  const int32_t* positions = command.in[2].as<int32_t>();
  with_float(command.in[0].dtype, [&](auto type) {
    const auto* x = command.in[0].as<decltype(type)>();
    auto* y = command.out[0].as<decltype(type)>();
    team.each(tokens, [&](int64_t t) {
      if (positions[t] < 0 || positions[t] >= rows) return team.fail("rope: a position lies outside the rotary table");
      const float* turn = table + positions[t] * head_dim;
      for (int64_t at = t * width; at < (t + 1) * width; at += head_dim) {
        for_vectors(0, head_dim, [&](int64_t i, auto lanes) {
          const vf value = load(x + at + i, lanes), angle = load(turn + i, lanes);
          const vf cosine = repeat_even(angle, all_lanes), sine = repeat_odd(angle, all_lanes) * sign;
          store(y + at + i, fma(swap_pairs(value, all_lanes), sine, value * cosine), lanes);
        });
      }
    }, 8);
  });
}

}  // namespace cria::CRIA_ISA
