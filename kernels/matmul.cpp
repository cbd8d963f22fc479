// matmul: a * b + addend, with either operand transposed; b may be stored in panels, also quantised ones.
#include "matrix-product.h"
#include "operators.h"
#include "quantised-product.h"
#include "quantised.h"

namespace cria::CRIA_ISA {

namespace {

// A [rows, columns] matrix whose lines are its rows, or its columns.
Operand operand_of(const View& matrix, bool lines_are_rows) {
  if (lines_are_rows) return {matrix.data, matrix.dtype, matrix.dim[0], matrix.dim[1], matrix.dim[1], true};
  return {matrix.data, matrix.dtype, matrix.dim[1], matrix.dim[0], matrix.dim[1], false};
}

}  // namespace

void op::matmul(const Command& command, Team& team) {
  const bool transpose_a = command.attr[0] != 0, transpose_b = command.attr[1] != 0;
  const DType arithmetic = command.attr[2] != 0 ? DType::bf16 : DType::f32;
  const View &b = command.in[1], &out = command.out[0];
  const Operand a = operand_of(command.in[0], !transpose_a);
  const Result c{out.data, out.dtype, out.dim[1], command.num_inputs > 2 ? command.in[2].as<float>() : nullptr};
  if (out.count() == 0) return;
  if (is_quantised(b.dtype)) return quantised_product(command, team);
  const bool packed = b.dtype == DType::panel_f32 || b.dtype == DType::panel_bf16;
  if (packed) multiply_packed(team, arithmetic, a, b.data, out.dim[1], c, command.workspace);
  else multiply(team, arithmetic, a, operand_of(b, transpose_b), c, command.workspace);
}

}  // namespace cria::CRIA_ISA
