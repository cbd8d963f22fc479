// A program: commands decoded from the numbers that src/runtime/native-lowering.ts writes, and its run on a team of threads.
// Encoding, per command: [opcode, inputs, outputs, attrs, ...attrs, then operands: inputs, outputs, workspace];
// operand: [buffer, byteOffset, byteLength, dtype, rank, ...dims], or [-1] for an absent one.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "kernel.h"

namespace cria {

struct Buffer {
  char* data = nullptr;
  int64_t bytes = 0;
};

struct OperatorInfo {
  const char* name;
  int min_inputs, outputs, attrs;
};

// What a tensor takes, as byteLength in src/tensor/dtype.ts.
int64_t bytes_needed(const View& view);

extern const OperatorInfo operator_infos[];
extern const int num_operators;

class Program {
 public:
  // Throws std::invalid_argument on numbers that are no program, or that use an operator without a kernel.
  Program(const double* words, size_t count, const Kernel* kernels);

  // Points every operand into these buffers; throws std::out_of_range when one does not fit.
  void bind(const std::vector<Buffer>& buffers);

  // Called by all threads of a team. `seconds`, one per operator, and `calls` are added to by thread 0.
  void run(Team& team, double* seconds, double* calls) const;

 private:
  struct Place { int64_t buffer, offset; };  // buffer < 0: absent

  std::vector<Command> commands_;
  std::vector<View> views_;    // of all commands: inputs, outputs, workspace
  std::vector<Place> places_;  // one per view
  const Kernel* kernels_;
};

}  // namespace cria
