// How the threads share a product. Columns go in chunks and the depth in windows, so that the panels of both stay in the shared cache while
// all rows are multiplied by them; the sums wait between windows as they are. Inside, work is handed out in blocks of rows, large ones first
// and smaller ones towards the end, so that all threads finish together; where there are few rows, in groups of panels.
#include "matrix-product.h"

#include "matrix-tile.h"

namespace cria::CRIA_ISA {

namespace {

constexpr int64_t block_strips = 8;  // most strips of rows that are packed at once: with a group of panels they stay in a core's own cache
constexpr int64_t window_words = 1024;
constexpr int64_t group_columns = tile_panels * panel_rows;
constexpr int64_t chunk_columns = 1008;  // a multiple of every group; as CHUNK_COLUMNS in src/runtime/native-lowering.ts
constexpr int64_t chunk_rows = 2048;  // of a left operand whose rows are not consecutive; as CHUNK_ROWS there
constexpr int64_t pack_depths_at_once = 64;

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

// Some columns of a right operand over a window of the depth. A panel holds `panel_words` words, from `first_word` on.
struct Panels {
  const int32_t* data;
  int64_t first_column, columns;
  int64_t panel_words, first_word;
  int64_t begin, end;  // the window
};

// One thread's part in the product of one window.
struct Multiplier {
  DType arithmetic;
  const Operand& a;
  const Panels& b;
  const Result& c;
  float* sums;      // [rows of a, chunk_columns] between windows, where c cannot hold them
  int32_t* strips;  // packed rows of a
  bool shared;      // all strips are there, each 16 wide
  int64_t words = words_of(arithmetic, a.depth);
  bool plain = c.dtype == DType::f32 && c.addend == nullptr;  // sums go through c itself
  int64_t first_strip = -1, num_strips = 0;

  // Packs the strips of a block, unless they still lie here.
  void prepare(int64_t first, int64_t count) {
    if (first_strip == first && num_strips == count) return;
    first_strip = first;
    num_strips = count;
    if (shared) return;
    const int64_t row = first * panel_rows, rows = min_of(count * panel_rows, a.lines - row), rest = rows % panel_rows;
    const int last_width = static_cast<int>(rest == 0 ? panel_rows : rest);
    pack_strips(a, arithmetic, {row, rows, b.begin, b.end, strips, panel_rows * (b.end - b.begin), last_width});
  }

  // All packed rows by one group of panels.
  void multiply_group(int64_t group) {
    for (int64_t i = 0; i < num_strips; i++) {
      const int64_t row = (first_strip + i) * panel_rows, height = min_of(panel_rows, a.lines - row), tiles = ceil_div(height, tile_rows);
      const int32_t* strip = strips + panel_rows * (shared ? (first_strip + i) * b.panel_words : i * (b.end - b.begin));
      for (int64_t j = 0; j < tiles; j++) {  // of nearly the same height
        const int64_t top = height * j / tiles, bottom = height * (j + 1) / tiles;
        multiply_one(strip + top, shared ? panel_rows : height, row + top, bottom - top, group * group_columns);
      }
    }
  }

  // `column` counts from the chunk's first.
  void multiply_one(const int32_t* strip, int64_t width, int64_t row, int64_t rows, int64_t column) {
    const int64_t inside = min_of(group_columns, b.columns - column), num_panels = ceil_div(inside, panel_rows);
    const int64_t place = row * c.stride + b.first_column + column;
    const bool direct = plain && inside % panel_rows == 0, resume = c.resume || b.begin > 0;
    alignas(64) float buffer[tile_rows * group_columns];
    float* values = static_cast<float*>(c.data) + place;
    float* to = direct ? values : sums && !plain ? sums + row * chunk_columns + column : buffer;
    const int64_t stride = direct ? c.stride : to == buffer ? group_columns : chunk_columns;
    if (plain && !direct && resume) finish_tile(values, c.stride, rows, inside, nullptr, to, stride);
    const int32_t* panels = b.data + column * b.panel_words + (b.begin - b.first_word) * panel_rows;
    multiply_tile(arithmetic, static_cast<int>(rows), static_cast<int>(num_panels),
                  {b.end - b.begin, strip, width, panels, panel_rows * b.panel_words, to, stride, resume});
    if (direct || (!plain && b.end < words)) return;
    const float* addend = c.addend ? c.addend + place : nullptr;
    with_float(c.dtype, [&](auto type) {
      finish_tile(to, stride, rows, inside, addend, static_cast<decltype(type)*>(c.data) + place, c.stride);
    });
  }
};

// The number of strips in the block that starts at strip `first`: smaller towards the end.
int64_t block_size(int64_t first, int64_t strips, int64_t threads) {
  return min_of(strips - first, max_of(1, min_of(block_strips, (strips - first) / (4 * threads))));
}

// Packs the words [begin, end) of some lines into panels: panel by panel, or all panels side by side, as memory is read in order.
void pack_window(Team& team, DType arithmetic, const Operand& from, int64_t first_line, int64_t lines, int64_t begin, int64_t end, int32_t* panels,
                 int64_t panel_words) {
  const int64_t stride = panel_rows * panel_words;
  if (from.line_by_line) {
    team.each(ceil_div(lines, panel_rows), [&](int64_t i) {
      const int64_t line = i * panel_rows;
      pack_strips(from, arithmetic, {first_line + line, min_of(panel_rows, lines - line), begin, end, panels + line * panel_words, stride});
    });
  } else {
    team.each(ceil_div(end - begin, pack_depths_at_once), [&](int64_t i) {
      const int64_t offset = i * pack_depths_at_once, last = min_of(end, begin + offset + pack_depths_at_once);
      pack_strips(from, arithmetic, {first_line, lines, begin + offset, last, panels + offset * panel_rows, stride});
    });
  }
}

// `strips_of_a` holds a's packed rows, or is null: then each thread packs those that it needs.
void multiply_window(Team& team, DType arithmetic, const Operand& a, int32_t* strips_of_a, const Panels& b, const Result& c, float* sums) {
  const int64_t strips = ceil_div(a.lines, panel_rows), groups = ceil_div(b.columns, group_columns);
  const int64_t strip_bytes = (b.end - b.begin) * min_of(panel_rows, a.lines) * word_bytes;
  const int64_t scratch_bytes = min_of(strips, block_strips) * strip_bytes + strip_slack_words * word_bytes;
  const bool shared = strips_of_a != nullptr;
  Multiplier multiplier{arithmetic, a, b, c, sums, shared ? strips_of_a : static_cast<int32_t*>(team.scratch(scratch_bytes)), shared};
  if (strips == 1) {
    multiplier.prepare(0, 1);
    team.each_in_order(groups, [&](int64_t group, int64_t last) {
      for (; group < last; group++) multiplier.multiply_group(group);
    });
    return;
  }
  if (strips < 4 * team.size) {
    team.each(ceil_div(strips, block_strips) * groups, [&](int64_t i) {
      const int64_t first = i / groups * block_strips;
      multiplier.prepare(first, min_of(block_strips, strips - first));
      multiplier.multiply_group(i % groups);
    });
    return;
  }
  int64_t blocks = 0, at = 0, first = 0;
  for (int64_t strip = 0; strip < strips; strip += block_size(strip, strips, team.size)) blocks++;
  team.each(blocks, [&](int64_t i) {
    for (; at < i; at++) first += block_size(first, strips, team.size);
    multiplier.prepare(first, block_size(first, strips, team.size));
    for (int64_t group = 0; group < groups; group++) multiplier.multiply_group(group);
  });
}

// Words of the depth that are multiplied at a time: all of them where there is too little to keep in the cache for.
int64_t window_of(int64_t words, int64_t rows) { return rows <= panel_rows ? words : min_of(words, window_words); }

// The part of the workspace, at its end, that keeps sums between windows.
int64_t sums_bytes(DType arithmetic, const Operand& a, const Result& c) {
  const int64_t words = words_of(arithmetic, a.depth);
  const bool needed = window_of(words, a.lines) < words && (c.dtype != DType::f32 || c.addend != nullptr);
  return needed ? a.lines * chunk_columns * static_cast<int64_t>(sizeof(float)) : 0;
}

Operand rows_from(const Operand& a, int64_t row, int64_t count) {
  Operand part = a;
  const int64_t values = row * (a.line_by_line ? a.stride : 1);
  part.data = static_cast<const char*>(a.data) + values * (a.dtype == DType::f32 ? 4 : 2);
  part.lines = count;
  return part;
}

Result rows_from(const Result& c, int64_t row) {
  Result part = c;
  part.data = static_cast<char*>(c.data) + row * c.stride * (c.dtype == DType::f32 ? 4 : 2);
  if (c.addend) part.addend = c.addend + row * c.stride;
  return part;
}

}  // namespace

void pack_panels(Team& team, DType arithmetic, const Operand& b, void* panels) {
  pack_window(team, arithmetic, b, 0, b.lines, 0, words_of(arithmetic, b.depth), static_cast<int32_t*>(panels), words_of(arithmetic, b.depth));
}

void multiply_packed(Team& team, DType arithmetic, const Operand& a, const void* panels, int64_t columns, const Result& c,
                     const View& workspace) {
  const int64_t words = words_of(arithmetic, a.depth), window = window_of(words, a.lines), kept = sums_bytes(arithmetic, a, c);
  const int64_t step = ceil_div(a.lines, panel_rows) <= block_strips && kept == 0 ? max_of(columns, 1) : chunk_columns;
  float* sums = kept ? reinterpret_cast<float*>(workspace.as<char>() + workspace.bytes - kept) : nullptr;
  for (int64_t first = 0; first < columns; first += step) {
    int64_t begin = 0;
    do {
      if (window < words && first + begin > 0) team.barrier();  // the sums of one window go on in the next
      const int32_t* data = static_cast<const int32_t*>(panels) + first * words;
      const Panels b{data, first, min_of(step, columns - first), words, 0, begin, min_of(words, begin + window)};
      multiply_window(team, arithmetic, a, nullptr, b, c, sums);
    } while ((begin += window) < words);
  }
}

void multiply(Team& team, DType arithmetic, const Operand& a, const Operand& b, const Result& c, const View& workspace) {
  const int64_t words = words_of(arithmetic, a.depth), window = window_of(words, a.lines), kept = sums_bytes(arithmetic, a, c);
  // An odd number of cache lines from panel to panel: what is written and read side by side must not fall on the same sets of the caches.
  const int64_t panel_words = window | 1;
  const int64_t rows = a.line_by_line ? a.lines : min_of(a.lines, chunk_rows);
  const int64_t strips_bytes = a.line_by_line ? 0 : ceil_div(rows, panel_rows) * panel_rows * panel_words * word_bytes;
  char* end_of_panels = workspace.as<char>() + workspace.bytes - kept - strips_bytes;
  int32_t *panels = workspace.as<int32_t>(), *strips = a.line_by_line ? nullptr : reinterpret_cast<int32_t*>(end_of_panels);
  float* sums = kept ? reinterpret_cast<float*>(end_of_panels + strips_bytes) : nullptr;
  const int64_t room = (end_of_panels - workspace.as<char>()) / (panel_words * panel_rows * word_bytes) * panel_rows;
  const int64_t step = min_of(chunk_columns, max_of(panel_rows, room >= group_columns ? room / group_columns * group_columns : room));
  for (int64_t first = 0; first < b.lines; first += step) {
    int64_t begin = 0;
    do {
      const int64_t lines = min_of(step, b.lines - first), end = min_of(words, begin + window);
      if (first + begin > 0) team.barrier();
      pack_window(team, arithmetic, b, first, lines, begin, end, panels, panel_words);
      const Panels packed{panels, first, lines, panel_words, begin, begin, end};
      for (int64_t row = 0; row < a.lines; row += rows) {
        const Operand part = rows_from(a, row, min_of(rows, a.lines - row));
        if (row > 0) team.barrier();
        if (strips) pack_window(team, arithmetic, part, 0, part.lines, begin, end, strips, panel_words);
        team.barrier();
        multiply_window(team, arithmetic, part, strips, packed, rows_from(c, row), sums ? sums + row * chunk_columns : nullptr);
      }
    } while ((begin += window) < words);
  }
}

}  // namespace cria::CRIA_ISA
