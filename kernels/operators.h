// The operators in the order of their opcodes (the same list as OPERATORS in src/runtime/native-lowering.ts, compared when the addon is
// loaded), and the declaration of their kernels for one instruction set. A kernel file includes this header and defines
// `void op::name(const Command&, Team&)` inside `namespace cria::CRIA_ISA`; an operator without a kernel stays null in the table.
#pragma once
#include "kernel.h"

// X(name, least inputs, outputs, attributes)
#define CRIA_OPERATORS(X)      \
  X(matmul, 2, 1, 3)           \
  X(gather, 2, 1, 0)           \
  X(scatterAdd, 2, 1, 0)       \
  X(rmsNorm, 2, 2, 1)          \
  X(rmsNormGrad, 4, 2, 0)      \
  X(rope, 3, 1, 2)             \
  X(attention, 5, 2, 5)        \
  X(attentionGrad, 8, 3, 5)    \
  X(cacheWrite, 3, 1, 0)       \
  X(swiglu, 2, 1, 0)           \
  X(swigluGrad, 3, 2, 0)       \
  X(tokenLogProbs, 3, 1, 2)    \
  X(tokenLogProbsGrad, 4, 3, 3) \
  X(add, 2, 1, 0)              \
  X(sub, 2, 1, 0)              \
  X(mul, 2, 1, 0)              \
  X(div, 2, 1, 0)              \
  X(minimum, 2, 1, 0)          \
  X(maximum, 2, 1, 0)          \
  X(greaterEqual, 2, 1, 0)     \
  X(affine, 1, 1, 2)           \
  X(exp, 1, 1, 0)              \
  X(log, 1, 1, 0)              \
  X(sqrt, 1, 1, 0)             \
  X(sigmoid, 1, 1, 0)          \
  X(softplus, 1, 1, 0)         \
  X(sum, 1, 1, 0)              \
  X(constant, 0, 1, 1)         \
  X(expand, 1, 1, 0)           \
  X(cast, 1, 1, 0)             \
  X(sumOfSquares, 1, 1, 0)     \
  X(assign, 2, 1, 0)           \
  X(adamw, 5, 4, 4)

#ifdef CRIA_ISA
namespace cria::CRIA_ISA {
namespace op {
#define CRIA_DECLARE(name, inputs, outputs, attrs) __attribute__((weak)) void name(const Command&, Team&);
CRIA_OPERATORS(CRIA_DECLARE)
#undef CRIA_DECLARE
}  // namespace op

extern const Kernel kernel_table[];  // by opcode
}  // namespace cria::CRIA_ISA
#endif
