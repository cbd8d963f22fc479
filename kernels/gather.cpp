// Rows by index: gather (embedding lookup), its gradient scatterAdd, and cacheWrite, which puts rows into their slots of a key or value cache.
#include "operators.h"
#include "quantised-pack.h"
#include "quantised.h"
#include "row-q8.h"

namespace cria::CRIA_ISA {
namespace {

template <class X, class Y> CRIA_INLINE void copy_row(const X* x, Y* y, int64_t width) {
  for_vectors(0, width, [&](int64_t i, auto lanes) { store(y + i, load(x + i, lanes), lanes); });
}

// A row of a table of panels, whose values lie a panel's rows apart (in pairs, for bf16).
template <class X> void copy_panel_row(const X* table, int64_t row, float* y, int64_t width) {
  constexpr int64_t group = sizeof(float) / sizeof(X), step = panel_rows * group;
  const X* x = table + row / panel_rows * ((width + group - 1) / group * step) + row % panel_rows * group;
  for (int64_t i = 0; i < width; i++) y[i] = to_float(x[i / group * step + i % group]);
}

// Calls f(t, id) for each token whose id is a row of the table.
template <class F> void each_id(Team& team, const Command& command, F&& f) {
  const int64_t rows = command.in[0].dim[0], tokens = command.in[1].dim[0];
  const int32_t* ids = command.in[1].as<int32_t>();
  team.each(tokens, [&](int64_t t) {
    if (ids[t] < 0 || ids[t] >= rows) return team.fail("gather: an id lies outside the table");
    f(t, ids[t]);
  }, 16);
}

}  // namespace

void op::gather(const Command& command, Team& team) {
  const View& table = command.in[0];
  const int64_t width = table.dim[1];
  float* y = command.out[0].as<float>();
  if (table.dtype == DType::panel_f32)
    return each_id(team, command, [&](int64_t t, int64_t id) { copy_panel_row(table.as<float>(), id, y + t * width, width); });
  if (table.dtype == DType::panel_bf16)
    return each_id(team, command, [&](int64_t t, int64_t id) { copy_panel_row(table.as<bf16>(), id, y + t * width, width); });
  if (is_quantised(table.dtype))
    return each_id(team, command, [&](int64_t t, int64_t id) { unpack_quantised_row(table, id, y + t * width); });
  with_float(table.dtype, [&](auto type) {
    const auto* rows = table.as<decltype(type)>();
    each_id(team, command, [&](int64_t t, int64_t id) { copy_row(rows + id * width, y + t * width, width); });
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
  const auto each_slot = [&](auto&& write) {
    team.each(tokens, [&](int64_t t) {
      if (slots[t] < 0) return;
      if (slots[t] >= rows) return team.fail("cacheWrite: a slot lies outside the cache");
      write(t, static_cast<int64_t>(slots[t]));
    }, 16);
  };
  with_float(command.in[1].dtype, [&](auto type_x) {
    const auto* x = command.in[1].as<decltype(type_x)>();
    if (command.out[0].dtype == DType::row_q8) {
      char* cache = command.out[0].as<char>();
      each_slot([&](int64_t t, int64_t slot) { pack_q8(x + t * width, width, cache + slot * q8_row_bytes(width)); });
    }
    with_type(command.out[0].dtype, [&](auto type_y) {
      auto* cache = command.out[0].as<decltype(type_y)>();
      each_slot([&](int64_t t, int64_t slot) { copy_row(x + t * width, cache + slot * width, width); });
    });
  });
}

}  // namespace cria::CRIA_ISA
