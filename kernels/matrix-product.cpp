// How the threads share a product. Work is handed out in blocks of rows, large ones first and smaller ones towards the end, so that all
// threads finish together; where there are few rows, in groups of panels.
#include "matrix-product.h"

#include "matrix-tile.h"

namespace cria::CRIA_ISA {

namespace {

constexpr int64_t block_strips = 16;  // most strips that are packed at once: panels are read from the shared cache once per block
constexpr int64_t last_block_strips = 2;
constexpr int64_t chunk_panels = 4;    // panels packed together: the pieces of a row that they take fill whole cache lines
constexpr int64_t chunk_words = 256;

int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Adds the addend to a finished tile in a buffer, and writes what of it lies inside the result.
template <class T> void finish_tile(const float* tile, int64_t tile_stride, int64_t rows, int64_t columns, const float* addend, T* c, int64_t stride) {
  for (int64_t i = 0; i < rows; i++, tile += tile_stride, c += stride) {
    for_vectors(0, columns, [&](int64_t j, auto lanes) {
      vf x = load(tile + j);
      if (addend) x += load(addend + i * stride + j, lanes);
      store(c + j, x, lanes);
    });
  }
}

// One product with shared panels, by one thread.
struct Multiplier {
  DType arithmetic;
  const Operand& a;
  const char* panels;
  int64_t first_column, columns;
  const Result& c;
  char* strips;  // packed rows of a
  int64_t words = words_of(arithmetic, a.depth);
  int64_t packed_strip = -1, packed_count = 0;

  // Packs the strips of a block, unless they still lie here.
  void prepare(int64_t first_strip, int64_t count) {
    if (packed_strip == first_strip && packed_count == count) return;
    packed_strip = first_strip;
    packed_count = count;
    for (int64_t strip = 0; strip < count; strip++) {
      const int64_t row = (first_strip + strip) * tile_rows;
      pack_strip(a, arithmetic, row, static_cast<int>(min_of(tile_rows, a.lines - row)), 0, words, strips + strip * tile_rows * words * word_bytes);
    }
  }

  // All packed rows by the panels [first_panel, last_panel).
  void multiply_group(int64_t first_panel, int64_t last_panel) {
    for (int64_t strip = 0; strip < packed_count; strip++) {
      const int64_t row = (packed_strip + strip) * tile_rows, column = first_panel * panel_rows;
      const int64_t rows = min_of(tile_rows, a.lines - row), wide = (last_panel - first_panel) * panel_rows;
      const int64_t place = row * c.stride + first_column + column;
      alignas(64) float buffer[tile_rows * tile_panels * panel_rows];
      const bool direct = c.dtype == DType::f32 && c.addend == nullptr && column + wide <= columns;
      float* values = static_cast<float*>(c.data) + place;
      if (!direct && c.resume) finish_tile(values, c.stride, rows, min_of(wide, columns - column), nullptr, buffer, wide);
      const Tile tile{words, strips + strip * tile_rows * words * word_bytes, panels + first_panel * panel_rows * words * word_bytes,
                      direct ? values : buffer, direct ? c.stride : wide, c.resume};
      multiply_tile(arithmetic, static_cast<int>(rows), static_cast<int>(last_panel - first_panel), tile);
      if (direct) continue;
      with_float(c.dtype, [&](auto type) {
        finish_tile(buffer, wide, rows, min_of(wide, columns - column), c.addend ? c.addend + place : nullptr,
                    static_cast<decltype(type)*>(c.data) + place, c.stride);
      });
    }
  }
};

// Blocks of strips whose size falls towards the end. All threads compute the same.
struct Blocks {
  int64_t strips, threads;
  // The number of strips in the block that starts at `first`.
  int64_t size_at(int64_t first) const {
    const int64_t left = strips - first;
    return min_of(left, max_of(last_block_strips, min_of(block_strips, left / (4 * threads))));
  }
};

}  // namespace

void pack_panels(Team& team, const Operand& b, DType arithmetic, int64_t first_line, int64_t lines, void* panels) {
  const int64_t words = words_of(arithmetic, b.depth), count = ceil_div(lines, panel_rows);
  const int64_t groups = ceil_div(count, chunk_panels), stretches = ceil_div(words, chunk_words);
  team.each(groups * stretches, [&](int64_t i) {
    const int64_t first_panel = i % groups * chunk_panels, first_word = i / groups * chunk_words;
    const int64_t last_word = min_of(words, first_word + chunk_words);
    for (int64_t panel = first_panel; panel < min_of(count, first_panel + chunk_panels); panel++) {
      char* out = static_cast<char*>(panels) + (panel * words + first_word) * panel_rows * word_bytes;
      pack_strip(b, arithmetic, first_line + panel * panel_rows, panel_rows, first_word, last_word, out);
    }
  });
}

void multiply_panels(Team& team, DType arithmetic, const Operand& a, const void* panels, int64_t first_column, int64_t columns,
                     const Result& c) {
  const int64_t strips = ceil_div(a.lines, tile_rows), count = ceil_div(columns, panel_rows), groups = ceil_div(count, tile_panels);
  const int64_t words = words_of(arithmetic, a.depth);
  void* scratch = team.scratch((min_of(strips, block_strips) * tile_rows * words + strip_slack_words) * word_bytes);
  Multiplier multiplier{arithmetic, a, static_cast<const char*>(panels), first_column, columns, c, static_cast<char*>(scratch)};
  const auto group = [&](int64_t i) { multiplier.multiply_group(i * tile_panels, min_of(count, (i + 1) * tile_panels)); };
  if (strips < 8 * team.size) {
    const int64_t blocks = ceil_div(strips, block_strips);
    team.each(blocks * groups, [&](int64_t i) {
      const int64_t first = i / groups * block_strips;
      multiplier.prepare(first, min_of(block_strips, strips - first));
      group(i % groups);
    });
    return;
  }
  const Blocks blocks{strips, team.size};
  int64_t num_blocks = 0, at = 0, first = 0;
  for (int64_t strip = 0; strip < strips; strip += blocks.size_at(strip)) num_blocks++;
  team.each(num_blocks, [&](int64_t i) {
    for (; at < i; at++) first += blocks.size_at(first);
    multiplier.prepare(first, blocks.size_at(first));
    for (int64_t j = 0; j < groups; j++) group(j);
  });
}

void multiply(Team& team, DType arithmetic, const Operand& a, const Operand& b, const Result& c, const View& workspace) {
  const int64_t bytes = panel_bytes(arithmetic, b.depth);
  const int64_t panels = bytes == 0 ? ceil_div(b.lines, panel_rows) : max_of(1, workspace.bytes / bytes);
  const int64_t step = max_of(1, panels / tile_panels * tile_panels) * panel_rows;
  for (int64_t first = 0; first < b.lines; first += step) {
    const int64_t lines = min_of(step, b.lines - first);
    if (first > 0) team.barrier();
    pack_panels(team, b, arithmetic, first, lines, workspace.data);
    team.barrier();
    multiply_panels(team, arithmetic, a, workspace.data, first, lines, c);
  }
}

}  // namespace cria::CRIA_ISA
