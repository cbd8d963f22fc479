// How the threads share a product. Work is handed out in blocks of rows, large ones first and smaller ones towards the end, so that all
// threads finish together; where there are few rows, in groups of panels.
#include "matrix-product.h"

#include "matrix-tile.h"

namespace cria::CRIA_ISA {

namespace {

constexpr int64_t block_strips = 8;  // most strips that are packed at once: panels are read from the shared cache once per block
constexpr int64_t chunk_panels = 8;  // panels packed together: they take whole cache lines of a row
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
  const int32_t* panels;
  int64_t first_column, columns;
  const Result& c;
  int32_t* strips;  // packed rows of a
  int64_t words = words_of(arithmetic, a.depth);
  int64_t first_strip = -1, num_strips = 0;

  // Packs the strips of a block, unless they still lie here.
  void prepare(int64_t first, int64_t count) {
    if (first_strip == first && num_strips == count) return;
    first_strip = first;
    num_strips = count;
    const int64_t row = first * panel_rows, rows = min_of(count * panel_rows, a.lines - row), rest = rows % panel_rows;
    pack_strips(a, arithmetic, {row, rows, 0, words, strips, panel_rows * words, static_cast<int>(rest == 0 ? panel_rows : rest)});
  }

  // All packed rows by the panels [first_panel, last_panel).
  void multiply_group(int64_t first_panel, int64_t last_panel) {
    for (int64_t i = 0; i < num_strips; i++) {
      const int64_t row = (first_strip + i) * panel_rows, width = min_of(panel_rows, a.lines - row);
      const int64_t tiles = ceil_div(width, tile_rows);
      for (int64_t j = 0; j < tiles; j++) {  // of nearly the same height
        const int64_t begin = width * j / tiles, end = width * (j + 1) / tiles;
        multiply_one(strips + i * panel_rows * words + begin, width, row + begin, end - begin, first_panel, last_panel - first_panel);
      }
    }
  }

  void multiply_one(const int32_t* strip, int64_t width, int64_t row, int64_t rows, int64_t panel, int64_t num_panels) {
    const int64_t column = panel * panel_rows, wide = num_panels * panel_rows, inside = min_of(wide, columns - column);
    const int64_t place = row * c.stride + first_column + column;
    alignas(64) float buffer[tile_rows * tile_panels * panel_rows];
    const bool direct = c.dtype == DType::f32 && c.addend == nullptr && inside == wide;
    float* values = static_cast<float*>(c.data) + place;
    if (!direct && c.resume) finish_tile(values, c.stride, rows, inside, nullptr, buffer, wide);
    multiply_tile(arithmetic, static_cast<int>(rows), static_cast<int>(num_panels),
                  {words, strip, width, panels + panel * panel_rows * words, direct ? values : buffer, direct ? c.stride : wide, c.resume});
    if (direct) return;
    const float* addend = c.addend ? c.addend + place : nullptr;
    with_float(c.dtype, [&](auto type) {
      finish_tile(buffer, wide, rows, inside, addend, static_cast<decltype(type)*>(c.data) + place, c.stride);
    });
  }
};

// The number of strips in the block that starts at strip `first`: smaller towards the end.
int64_t block_size(int64_t first, int64_t strips, int64_t threads) {
  return min_of(strips - first, max_of(1, min_of(block_strips, (strips - first) / (4 * threads))));
}

}  // namespace

void pack_panels(Team& team, const Operand& b, DType arithmetic, int64_t first_line, int64_t lines, void* panels) {
  const int64_t words = words_of(arithmetic, b.depth), width = chunk_panels * panel_rows;
  const int64_t groups = ceil_div(lines, width), stretches = ceil_div(words, chunk_words);
  team.each(groups * stretches, [&](int64_t i) {
    const int64_t line = i % groups * width, word = i / groups * chunk_words;
    int32_t* out = static_cast<int32_t*>(panels) + line * words + word * panel_rows;
    pack_strips(b, arithmetic, {first_line + line, min_of(width, lines - line), word, min_of(words, word + chunk_words), out, panel_rows * words});
  });
}

void multiply_panels(Team& team, DType arithmetic, const Operand& a, const void* panels, int64_t first_column, int64_t columns,
                     const Result& c) {
  const int64_t strips = ceil_div(a.lines, panel_rows), count = ceil_div(columns, panel_rows), groups = ceil_div(count, tile_panels);
  const int64_t strip_bytes = words_of(arithmetic, a.depth) * min_of(panel_rows, a.lines) * word_bytes;
  void* scratch = team.scratch(min_of(strips, block_strips) * strip_bytes + strip_slack_words * word_bytes);
  Multiplier multiplier{arithmetic, a, static_cast<const int32_t*>(panels), first_column, columns, c, static_cast<int32_t*>(scratch)};
  const auto group = [&](int64_t i) { multiplier.multiply_group(i * tile_panels, min_of(count, (i + 1) * tile_panels)); };
  if (strips < 4 * team.size) {
    const int64_t blocks = ceil_div(strips, block_strips);
    team.each(blocks * groups, [&](int64_t i) {
      const int64_t first = i / groups * block_strips;
      multiplier.prepare(first, min_of(block_strips, strips - first));
      group(i % groups);
    });
    return;
  }
  int64_t blocks = 0, at = 0, first = 0;
  for (int64_t strip = 0; strip < strips; strip += block_size(strip, strips, team.size)) blocks++;
  team.each(blocks, [&](int64_t i) {
    for (; at < i; at++) first += block_size(first, strips, team.size);
    multiplier.prepare(first, block_size(first, strips, team.size));
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
