// Rows by index: gather (embedding lookup), its gradient scatterAdd, and cacheWrite, which puts rows into their slots of a key or value cache.
#include "operators.h"
#include "vectors.h"

namespace cria::CRIA_ISA {
namespace {

template <class X, class Y> CRIA_INLINE void copy_row(const X* x, Y* y, int64_t width) {
  for_vectors(0, width, [&](int64_t i, auto lanes) { store(y + i, load(x + i, lanes), lanes); });
}

}  // namespace

void op::gather(const Command& command, Team& team) {
  const int64_t rows = command.in[0].dim[0], width = command.in[0].dim[1], tokens = command.in[1].dim[0];
  const int32_t* ids = command.in[1].as<int32_t>();
  float* y = command.out[0].as<float>();
  with_float(command.in[0].dtype, [&](auto type) {
    const auto* table = command.in[0].as<decltype(type)>();
    team.each(tokens, [&](int64_t t) {
      if (ids[t] < 0 || ids[t] >= rows) return team.fail("gather: an id lies outside the table");
      copy_row(table + ids[t] * width, y + t * width, width);
    }, 16);
  });
}

// Rows may repeat, so the threads share the columns and each goes through all tokens in order.
void op::scatterAdd(const Command& command, Team& team) {
  const int64_t tokens = command.in[0].dim[0], width = command.in[0].dim[1], rows = command.out[0].dim[0];
  const float* values = command.in[0].as<float>();
  const int32_t* ids = command.in[1].as<int32_t>();
  const float* addend = command.num_inputs > 2 ? command.in[2].as<float>() : nullptr;
  float* y = command.out[0].as<float>();
  if (addend != y) {
    each_vector(team, rows * width, [&](int64_t i, auto lanes) { store(y + i, addend ? load(addend + i, lanes) : zero(), lanes); });
    team.barrier();
  }
  const int64_t slice = 64;
  team.each((width + slice - 1) / slice, [&](int64_t s) {
    const int64_t begin = s * slice, end = width < begin + slice ? width : begin + slice;
    for (int64_t t = 0; t < tokens; t++) {
      if (ids[t] < 0 || ids[t] >= rows) {
        team.fail("scatterAdd: an id lies outside the table");
        continue;
      }
      float* row = y + ids[t] * width;
      for_vectors(begin, end, [&](int64_t i, auto lanes) {
        store(row + i, load(row + i, lanes) + load(values + t * width + i, lanes), lanes);
      });
    }
  });
}

void op::cacheWrite(const Command& command, Team& team) {
  const int64_t rows = command.out[0].dim[0], tokens = command.in[1].dim[0], width = command.in[1].dim[1];
  const int32_t* slots = command.in[2].as<int32_t>();
  with_float(command.in[1].dtype, [&](auto type_x) {
    with_type(command.out[0].dtype, [&](auto type_y) {
      const auto* x = command.in[1].as<decltype(type_x)>();
      auto* cache = command.out[0].as<decltype(type_y)>();
      team.each(tokens, [&](int64_t t) {
        if (slots[t] < 0) return;
        if (slots[t] >= rows) return team.fail("cacheWrite: a slot lies outside the cache");
        copy_row(x + t * width, cache + slots[t] * width, width);
      }, 16);
    });
  });
}

}  // namespace cria::CRIA_ISA
