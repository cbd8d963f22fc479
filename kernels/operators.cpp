// The table of kernels of one instruction set.
#include "operators.h"

namespace cria::CRIA_ISA {

extern const Kernel kernel_table[] = {
#define CRIA_ENTRY(name, inputs, outputs, attrs) op::name,
    CRIA_OPERATORS(CRIA_ENTRY)
#undef CRIA_ENTRY
};

}  // namespace cria::CRIA_ISA
