// One step of AdamW with decoupled weight decay (arXiv:1711.05101), fused over the four states so that each byte moves once.
// hyper = (learning rate, 1 - beta1^t, 1 - beta2^t, gradient scale).
#include "operators.h"
#include "vectors.h"

namespace cria::CRIA_ISA {

void op::adamw(const Command& command, Team& team) {
  const float beta1 = static_cast<float>(command.attr[0]), beta2 = static_cast<float>(command.attr[1]);
  const float* hyper = command.in[4].as<float>();
  const vf keep1 = splat(beta1), take1 = splat(static_cast<float>(1.0 - command.attr[0]));
  const vf keep2 = splat(beta2), take2 = splat(static_cast<float>(1.0 - command.attr[1]));
  const vf eps = splat(static_cast<float>(command.attr[2]));
  const vf decay = splat(static_cast<float>(1.0 - static_cast<double>(hyper[0]) * command.attr[3]));
  const vf rate = splat(hyper[0]), correction1 = splat(hyper[1]), correction2 = splat(hyper[2]), scale = splat(hyper[3]);
  float *param = command.out[0].as<float>(), *grad = command.out[1].as<float>();
  float *m = command.out[2].as<float>(), *v = command.out[3].as<float>();
  each_vector(team, command.out[0].count(), [&](int64_t i, auto lanes) {
    const vf g = load(grad + i, lanes) * scale;
    const vf m_new = fma(take1, g, keep1 * load(m + i, lanes));
    const vf v_new = fma(take2, g * g, keep2 * load(v + i, lanes));
    const vf step = rate * (m_new / correction1) / (CRIA_ISA::sqrt(v_new / correction2) + eps);
    store(param + i, fma(load(param + i, lanes), decay, -step), lanes);
    store(m + i, m_new, lanes);
    store(v + i, v_new, lanes);
    store(grad + i, zero(), lanes);
  });
}

}  // namespace cria::CRIA_ISA
