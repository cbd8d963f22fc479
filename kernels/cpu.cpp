// Chooses by cpuid (through the compiler's builtin, which also asks the operating system about the wide registers).
#include "cpu.h"

namespace cria {

#define CRIA_DECLARE_ISA(isa)                                  \
  namespace isa {                                              \
  extern const Kernel kernel_table[];                          \
  void pack(const float* values, const View& stored);          \
  void unpack(const View& stored, float* values);              \
  bool repack(SourceBlocks source, const uint8_t* blocks, int64_t bytes, int64_t first_row, int64_t rows, const View& stored); \
  extern const Probe probes[];                                 \
  }
CRIA_DECLARE_ISA(baseline)
#if defined(__x86_64__)
CRIA_DECLARE_ISA(avx2)
CRIA_DECLARE_ISA(avx512)
#endif

#define CRIA_ISA_ENTRY(isa) {#isa, isa::kernel_table, isa::pack, isa::unpack, isa::repack, isa::probes}

const std::vector<Isa>& supported_isas() {
  static const std::vector<Isa> isas = [] {
    std::vector<Isa> found = {CRIA_ISA_ENTRY(baseline)};
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
                    __builtin_cpu_supports("f16c") && __builtin_cpu_supports("lzcnt");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (v3) found.push_back(CRIA_ISA_ENTRY(avx2));
    if (v4 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16")) found.push_back(CRIA_ISA_ENTRY(avx512));
#endif
    return found;
  }();
  return isas;
}

}  // namespace cria
