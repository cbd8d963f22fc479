// Rows of f32 or blocks of GGUF files into quantised panels, and back.
#pragma once
#include "kernel.h"

namespace cria {
// Block types whose values a panel type holds exactly, in the order of REPACKABLE in src/runtime/native.ts.
enum class SourceBlocks : int32_t { q4_0, q4_1, q5_0, q8_0, q4_k };
}  // namespace cria

namespace cria::CRIA_ISA {

void pack_quantised(const float* values, const View& stored);
void unpack_quantised_row(const View& stored, int64_t row, float* values);

// Rows [first_row, first_row + rows) of the panels from a file's blocks; false when the types or sizes do not belong together.
bool repack(SourceBlocks source, const uint8_t* blocks, int64_t bytes, int64_t first_row, int64_t rows, const View& stored);

}  // namespace cria::CRIA_ISA
