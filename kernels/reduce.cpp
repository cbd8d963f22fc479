// Sums over whole tensors to a scalar: f64 over fixed blocks of values, then over the blocks in order, so neither the number of threads nor the
// instruction set changes a bit.
#include "operators.h"
#include "vectors.h"

namespace cria::CRIA_ISA {
namespace {

constexpr int64_t sum_block = 1 << 14;  // native-lowering.ts asks for 8 bytes of workspace per block of each tensor
constexpr int accumulators = 16;

typedef float f8 __attribute__((vector_size(32)));
typedef double d8 __attribute__((vector_size(64)));

// Value i goes to accumulator i % 16; the product of two floats is exact in f64.
template <bool squares> double sum_values(const float* x, int64_t count) {
  d8 total[2] = {};
  const auto take = [&](const float* p) {
    for (int half = 0; half < 2; half++) {
      f8 values;
      memcpy(&values, p + 8 * half, sizeof values);
      const d8 wide = __builtin_convertvector(values, d8);
      total[half] += squares ? wide * wide : wide;
    }
  };
  int64_t i = 0;
  for (; i + accumulators <= count; i += accumulators) take(x + i);
  float rest[accumulators] = {};
  memcpy(rest, x + i, (count - i) * sizeof(float));
  take(rest);
  const d8 both = total[0] + total[1];
  return ((both[0] + both[4]) + (both[2] + both[6])) + ((both[1] + both[5]) + (both[3] + both[7]));
}

template <bool squares> void sum_tensors(const Command& command, Team& team) {
  double* partial = command.workspace.as<double>();
  int64_t first = 0;  // block number of the tensor's first block
  for (int input = 0; input < command.num_inputs; input++) {
    const View& view = command.in[input];
    const int64_t count = view.count(), blocks = (count + sum_block - 1) / sum_block;
    const float* x = view.as<float>();
    team.each(blocks, [&](int64_t block) {
      const int64_t begin = block * sum_block;
      partial[first + block] = sum_values<squares>(x + begin, count - begin < sum_block ? count - begin : sum_block);
    });
    first += blocks;
  }
  team.barrier();
  if (team.id != 0) return;
  double total = 0;
  for (int64_t block = 0; block < first; block++) total += partial[block];
  *command.out[0].as<float>() = static_cast<float>(total);
}

}  // namespace

void op::sum(const Command& command, Team& team) { sum_tensors<false>(command, team); }
void op::sumOfSquares(const Command& command, Team& team) { sum_tensors<true>(command, team); }

}  // namespace cria::CRIA_ISA
