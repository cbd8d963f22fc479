// Root mean square normalisation of rows (arXiv:1910.07467), y = x / sqrt(mean(x^2) + eps) * weight, and its gradient. The weight's gradient
// is summed over fixed blocks of tokens first, so that its bits do not depend on the number of threads.
#include "operators.h"
#include "vectors.h"

namespace cria::CRIA_ISA {
namespace {

constexpr int64_t token_block = 64;  // native-lowering.ts asks for one row of workspace per block

template <class T, class Y>
void norm_row(const T* x, const float* weight, int64_t width, float eps, Y* y, float* rstd) {
  vf squares = zero();
  for_vectors(0, width, [&](int64_t i, auto lanes) {
    const vf value = load(x + i, lanes);
    squares = fma(value, value, squares);
  });
  *rstd = 1.0f / __builtin_sqrtf(sum(squares) / static_cast<float>(width) + eps);
  const vf factor = splat(*rstd);
  for_vectors(0, width, [&](int64_t i, auto lanes) { store(y + i, load(x + i, lanes) * factor * load(weight + i, lanes), lanes); });
}

// With n = x * rstd: dx = addend + rstd * (dy * weight - n * mean(dy * weight * n)), and dy * n goes to the weight.
template <class D, class T>
void norm_grad_row(const D* dy, const T* x, const float* weight, float rstd, int64_t width, const float* addend, float* dx, float* dweight) {
  vf dots = zero();
  for_vectors(0, width, [&](int64_t i, auto lanes) {
    dots = fma(load(dy + i, lanes) * load(weight + i, lanes), load(x + i, lanes), dots);
  });
  const vf factor = splat(rstd), mean = splat(sum(dots) * rstd / static_cast<float>(width));
  for_vectors(0, width, [&](int64_t i, auto lanes) {
    const vf d = load(dy + i, lanes), n = load(x + i, lanes) * factor;
    const vf slope = factor * (d * load(weight + i, lanes) - n * mean);
    store(dx + i, addend ? load(addend + i, lanes) + slope : slope, lanes);
    store(dweight + i, fma(d, n, load(dweight + i, lanes)), lanes);
  });
}

}  // namespace

void op::rmsNorm(const Command& command, Team& team) {
  const int64_t tokens = command.in[0].dim[0], width = command.in[0].dim[1];
  const float *weight = command.in[1].as<float>(), eps = static_cast<float>(command.attr[0]);
  float* rstd = command.out[1].as<float>();
  with_float(command.in[0].dtype, [&](auto type) {
    with_float(command.out[0].dtype, [&](auto type_y) {
      const auto* x = command.in[0].as<decltype(type)>();
      auto* y = command.out[0].as<decltype(type_y)>();
      team.each(tokens, [&](int64_t t) { norm_row(x + t * width, weight, width, eps, y + t * width, rstd + t); }, 8);
    });
  });
}

void op::rmsNormGrad(const Command& command, Team& team) {
  const int64_t tokens = command.in[0].dim[0], width = command.in[0].dim[1];
  const int64_t blocks = (tokens + token_block - 1) / token_block;
  const float *weight = command.in[2].as<float>(), *rstd = command.in[3].as<float>();
  const float* addend = command.num_inputs > 4 ? command.in[4].as<float>() : nullptr;
  float *dx = command.out[0].as<float>(), *dweight = command.out[1].as<float>(), *partial = command.workspace.as<float>();
  with_float(command.in[0].dtype, [&](auto type_dy) {
    with_float(command.in[1].dtype, [&](auto type) {
      const auto* dy = command.in[0].as<decltype(type_dy)>();
      const auto* x = command.in[1].as<decltype(type)>();
      team.each(blocks, [&](int64_t block) {
        float* mine = partial + block * width;
        memset(mine, 0, width * sizeof(float));
        const int64_t begin = block * token_block, end = tokens < begin + token_block ? tokens : begin + token_block;
        for (int64_t t = begin; t < end; t++) {
          const int64_t at = t * width;
          norm_grad_row(dy + at, x + at, weight, rstd[t], width, addend ? addend + at : nullptr, dx + at, mine);
        }
      });
    });
  });
  team.barrier();
  team.each((width + VL - 1) / VL, [&](int64_t column) {
    const int64_t begin = column * VL, end = width < begin + VL ? width : begin + VL;
    for_vectors(begin, end, [&](int64_t i, auto lanes) {
      vf total = zero();
      for (int64_t block = 0; block < blocks; block++) total = total + load(partial + block * width + i, lanes);
      store(dweight + i, total, lanes);
    });
  });
}

}  // namespace cria::CRIA_ISA
