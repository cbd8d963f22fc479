// Rows of f32 to and from the storage types, for states that are written and read by the program's owner.
#include "cpu.h"
#include "quantised-pack.h"
#include "quantised.h"
#include "row-q8.h"

namespace cria::CRIA_ISA {

namespace {

// Where value (row, column) of a panel tensor lies, in elements (kernel contract: [rows / 16][columns][16], or pairs of columns for bf16).
int64_t panel_index(const View& view, int64_t row, int64_t column) {
  const int64_t panel = row / panel_rows, lane = row % panel_rows;
  if (view.dtype == DType::panel_f32) return (panel * view.dim[1] + column) * panel_rows + lane;
  const int64_t pairs = (view.dim[1] + 1) / 2;
  return ((panel * pairs + column / 2) * panel_rows + lane) * 2 + column % 2;
}

template <class T> void pack_rows(const float* values, const View& stored) {
  T* out = stored.as<T>();
  const int64_t count = stored.count();
  int64_t i = 0;
  for (; i + VL <= count; i += VL) store(out + i, load(values + i));
  if (i < count) store(out + i, load(values + i, static_cast<int>(count - i)), static_cast<int>(count - i));
}

template <class T> void unpack_rows(const View& stored, float* values) {
  const T* in = stored.as<T>();
  const int64_t count = stored.count();
  for (int64_t i = 0; i < count; i++) values[i] = to_float(in[i]);
}

template <class T> void pack_panels(const float* values, const View& stored) {
  const int64_t rows = stored.dim[0], columns = stored.dim[1];
  memset(stored.data, 0, stored.bytes);
  for (int64_t first = 0; first < rows; first += panel_rows) {
    const int64_t last = rows < first + panel_rows ? rows : first + panel_rows;
    for (int64_t column = 0; column < columns; column++)
      for (int64_t row = first; row < last; row++)
        stored.as<T>()[panel_index(stored, row, column)] = from_float<T>(values[row * columns + column]);
  }
}

template <class T> void unpack_panels(const View& stored, float* values) {
  for (int64_t row = 0; row < stored.dim[0]; row++)
    for (int64_t column = 0; column < stored.dim[1]; column++)
      values[row * stored.dim[1] + column] = to_float(stored.as<T>()[panel_index(stored, row, column)]);
}

}  // namespace

void pack(const float* values, const View& stored) {
  if (is_quantised(stored.dtype)) return pack_quantised(values, stored);
  if (stored.dtype == DType::row_q8) {
    for (int64_t row = 0; row < stored.dim[0]; row++)
      pack_q8(values + row * stored.dim[1], stored.dim[1], stored.as<char>() + row * q8_row_bytes(stored.dim[1]));
    return;
  }
  if (stored.dtype == DType::panel_f32) return pack_panels<float>(values, stored);
  if (stored.dtype == DType::panel_bf16) return pack_panels<bf16>(values, stored);
  with_type(stored.dtype, [&](auto type) { pack_rows<decltype(type)>(values, stored); });
}

void unpack(const View& stored, float* values) {
  if (is_quantised(stored.dtype)) {
    for (int64_t row = 0; row < stored.dim[0]; row++) unpack_quantised_row(stored, row, values + row * stored.dim[1]);
    return;
  }
  if (stored.dtype == DType::row_q8) {
    for (int64_t row = 0; row < stored.dim[0]; row++)
      unpack_q8(stored.as<char>() + row * q8_row_bytes(stored.dim[1]), 0, stored.dim[1], values + row * stored.dim[1]);
    return;
  }
  if (stored.dtype == DType::panel_f32) return unpack_panels<float>(stored, values);
  if (stored.dtype == DType::panel_bf16) return unpack_panels<bf16>(stored, values);
  with_type(stored.dtype, [&](auto type) { unpack_rows<decltype(type)>(stored, values); });
}

}  // namespace cria::CRIA_ISA
