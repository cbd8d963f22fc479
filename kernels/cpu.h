// Which instruction sets this build has and this processor can run.
#pragma once
#include <vector>

#include "kernel.h"
#include "quantised-pack.h"

namespace cria {

// A measurement of the machine, carried out by all threads of a team; gives a rate per second.
struct Probe {
  const char* name;
  double (*measure)(Team& team, int64_t bytes);
};

// What the rest of the addon needs of the code compiled for one instruction set.
struct Isa {
  const char* name;
  const Kernel* kernels;  // by opcode
  // Rows of f32 [rows, columns] to a storage type and back; `stored` is laid out as View says.
  void (*pack)(const float* values, const View& stored);
  void (*unpack)(const View& stored, float* values);
  // Blocks of a file into quantised panels (quantised-pack.h).
  bool (*repack)(SourceBlocks source, const uint8_t* blocks, int64_t bytes, int64_t first_row, int64_t rows, const View& stored);
  const Probe* probes;  // ended by one without a name
};

// The supported ones, the slowest first.
const std::vector<Isa>& supported_isas();

}  // namespace cria
