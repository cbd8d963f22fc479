// One function per tile size and arithmetic, chosen from a table.
#include "matrix-tile.h"

#include <utility>

namespace cria::CRIA_ISA {

namespace {

template <class P, int rows, int panels> void multiply(const Tile& tile) {
  using Word = typename P::Word;
  constexpr int vectors = panels * panel_vectors;
  vf sums[rows][vectors];
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 12
    for (int j = 0; j < vectors; j++) {
      float* c = tile.c + i * tile.stride + j * VL;
      sums[i][j] = tile.resume ? load(c) : zero();
      __builtin_prefetch(c, 1);  // the line is fetched for writing while the sums are on their way
    }
  const Word* a = reinterpret_cast<const Word*>(tile.a);
  const Word* b = reinterpret_cast<const Word*>(tile.b);
  for (int64_t word = 0; word < tile.words; word++, a += tile.a_step, b += panel_rows) {
    typename P::Vector right[vectors];
#pragma GCC unroll 12
    for (int j = 0; j < vectors; j++) right[j] = load(b + j / panel_vectors * tile.panel_step + j % panel_vectors * VL);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
      const typename P::Vector left = splat(a[i]);
#pragma GCC unroll 12
      for (int j = 0; j < vectors; j++) sums[i][j] = P::dot(sums[i][j], left, right[j]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 12
    for (int j = 0; j < vectors; j++) store(tile.c + i * tile.stride + j * VL, sums[i][j]);
}

using Multiply = void (*)(const Tile&);

struct Table {
  Multiply by_size[2][tile_panels][tile_rows];
};

template <class P, int panels, int... rows> constexpr void fill_rows(Multiply* row, std::integer_sequence<int, rows...>) {
  ((row[rows] = multiply<P, rows + 1, panels>), ...);
}

template <class P, int... panels> constexpr void fill(Multiply (*table)[tile_rows], std::integer_sequence<int, panels...>) {
  (fill_rows<P, panels + 1>(table[panels], std::make_integer_sequence<int, tile_rows>()), ...);
}

constexpr Table make_table() {
  Table table{};
  fill<F32Words>(table.by_size[0], std::make_integer_sequence<int, tile_panels>());
  fill<Bf16Words>(table.by_size[1], std::make_integer_sequence<int, tile_panels>());
  return table;
}

constexpr Table table = make_table();

}  // namespace

void multiply_tile(DType arithmetic, int rows, int panels, const Tile& tile) {
  table.by_size[arithmetic == DType::bf16][panels - 1][rows - 1](tile);
}

}  // namespace cria::CRIA_ISA
