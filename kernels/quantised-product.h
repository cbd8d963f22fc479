// x [rows, columns] times a quantised weight [outputs, columns] transposed: what `matmul` does when its second operand is quantised.
#pragma once
#include "kernel.h"

namespace cria::CRIA_ISA {

// Scratch memory for x rounded to 8 bits (nativeLowering computes the same): a byte a value, and two numbers a block.
CRIA_INLINE int64_t quantised_workspace_bytes(int64_t rows, int64_t blocks) { return rows * blocks * (32 + 8); }

void quantised_product(const Command& command, Team& team);

}  // namespace cria::CRIA_ISA
