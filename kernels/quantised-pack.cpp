// Into quantised panels: rows of f32, rounded for the least squared error, or blocks of GGUF files, taken over exactly. And back to f32.
#include "quantised-pack.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "quantised.h"
#include "simd.h"

namespace cria::CRIA_ISA {

namespace {

// Where a row's quants and scales of one block of 32 columns lie.
template <class Panel> struct BlockOf {
  Panel& panel;
  int lane, part;

  BlockOf(const View& stored, int64_t row, int64_t block)
      : panel(stored.as<Panel>()[row / panel_rows * panels_per_row(stored.dim[1]) + block * quant_block / columns_of<Panel>]),
        lane(static_cast<int>(row % panel_rows)), part(static_cast<int>(block % (columns_of<Panel> / quant_block))) {}
  static int64_t panels_per_row(int64_t columns) { return (columns + columns_of<Panel> - 1) / columns_of<Panel>; }

  auto& quants() const {
    if constexpr (std::is_same_v<Panel, PanelQ4K>) return panel.quants[part];
    else return panel.quants;
  }
  int get(int k) const {
    if constexpr (std::is_same_v<Panel, PanelQ8>) return panel.quants[k / 4][lane * 4 + k % 4];
    const uint8_t both = quants()[k / 8][lane * 4 + k % 4];
    return k % 8 < 4 ? both & 15 : both >> 4;
  }
  void set(int k, int quant) const {
    if constexpr (std::is_same_v<Panel, PanelQ8>) {
      panel.quants[k / 4][lane * 4 + k % 4] = static_cast<uint8_t>(quant);
    } else {
      uint8_t& both = quants()[k / 8][lane * 4 + k % 4];
      both = static_cast<uint8_t>(k % 8 < 4 ? (both & 0xf0) | quant : (both & 0x0f) | quant << 4);
    }
  }
  float value(int quant) const {
    if constexpr (std::is_same_v<Panel, PanelQ8>) return to_float(panel.scale[lane]) * static_cast<float>(quant - 128);
    else if constexpr (std::is_same_v<Panel, PanelQ4>) return to_float(panel.scale[lane]) * static_cast<float>(quant - 8);
    else if constexpr (std::is_same_v<Panel, PanelQ4Min>) return to_float(panel.scale[lane]) * static_cast<float>(quant) + to_float(panel.min[lane]);
    else
      return to_float(panel.d[lane]) * static_cast<float>(panel.scale[part][lane]) * static_cast<float>(quant) -
             to_float(panel.dmin[lane]) * static_cast<float>(panel.min[part][lane]);
  }
};

constexpr int candidates = 16;  // scales tried around the one that just spans the block

// The scale s (rounded to f16) that makes the squared error of s * round(x / s), clamped to [low, high], least among the candidates.
float best_scale(const float* x, float span, int low, int high) {
  if (span == 0) return 0;
  float best = 0, best_error = INFINITY;
  for (int i = 0; i < candidates; i++) {
    const float wanted = span * (1.0f + 0.25f * static_cast<float>(i - candidates / 4) / candidates);
    const float scale = to_float(from_float<f16>(wanted));
    if (scale == 0 || !std::isfinite(scale)) continue;
    const vf inverse = splat(1.0f / scale), magic = splat(12582912.0f), lowest = splat(static_cast<float>(low)), highest = splat(static_cast<float>(high));
    vf errors = zero();
    for (int k = 0; k < quant_block; k += VL) {
      vf quant = (load(x + k) * inverse + magic) - magic;
      quant = (quant < lowest) ? lowest : quant;
      quant = (quant > highest) ? highest : quant;
      const vf difference = load(x + k) - quant * splat(scale);
      errors += difference * difference;
    }
    const float error = sum(errors);
    if (error < best_error) best_error = error, best = scale;
  }
  return best;
}

// The value of largest magnitude, with its sign.
float extreme(const float* x) {
  float largest = 0;
  for (int k = 0; k < quant_block; k++) largest = std::fabs(x[k]) > std::fabs(largest) ? x[k] : largest;
  return largest;
}

int nearest(float x, int low, int high) { return std::isnan(x) ? 0 : static_cast<int>(std::lrintf(std::clamp(x, static_cast<float>(low), static_cast<float>(high)))); }

void pack_block(const BlockOf<PanelQ8>& block, const float* x) {
  const float scale = to_float(from_float<f16>(std::fabs(extreme(x)) / 127.0f));
  block.panel.scale[block.lane] = from_float<f16>(scale);
  for (int k = 0; k < quant_block; k++) block.set(k, 128 + (scale > 0 ? nearest(x[k] / scale, -127, 127) : 0));
}

void pack_block(const BlockOf<PanelQ4>& block, const float* x) {
  const float scale = best_scale(x, extreme(x) / -8.0f, -8, 7);  // the extreme becomes -8, as in ggml's Q4_0
  block.panel.scale[block.lane] = from_float<f16>(scale);
  for (int k = 0; k < quant_block; k++) block.set(k, 8 + (scale != 0 ? nearest(x[k] / scale, -8, 7) : 0));
}

void pack_block(const BlockOf<PanelQ4Min>& block, const float* x) {
  const float low = *std::min_element(x, x + quant_block), high = *std::max_element(x, x + quant_block);
  block.panel.min[block.lane] = from_float<f16>(low);
  block.panel.scale[block.lane] = from_float<f16>((high - low) / 15.0f);
  const float scale = to_float(block.panel.scale[block.lane]), min = to_float(block.panel.min[block.lane]);
  for (int k = 0; k < quant_block; k++) block.set(k, scale > 0 ? nearest((x[k] - min) / scale, 0, 15) : 0);
}

// ---- GGUF blocks (ggml-quants: block_q4_0, block_q4_1, block_q5_0, block_q8_0, block_q4_K)

f16 half_at(const uint8_t* p) {
  f16 x;
  memcpy(&x, p, 2);
  return x;
}

struct Q4_0 {
  using Panel = PanelQ4;
  static constexpr int bytes = 18, columns = 32;
  static void take(const uint8_t* from, const BlockOf<Panel>& to) {
    to.panel.scale[to.lane] = half_at(from);
    for (int k = 0; k < 32; k++) to.set(k, k < 16 ? from[2 + k] & 15 : from[2 + k - 16] >> 4);
  }
};
struct Q4_1 {
  using Panel = PanelQ4Min;
  static constexpr int bytes = 20, columns = 32;
  static void take(const uint8_t* from, const BlockOf<Panel>& to) {
    to.panel.scale[to.lane] = half_at(from);
    to.panel.min[to.lane] = half_at(from + 2);
    for (int k = 0; k < 32; k++) to.set(k, k < 16 ? from[4 + k] & 15 : from[4 + k - 16] >> 4);
  }
};
struct Q5_0 {
  using Panel = PanelQ8;
  static constexpr int bytes = 22, columns = 32;
  static void take(const uint8_t* from, const BlockOf<Panel>& to) {
    to.panel.scale[to.lane] = half_at(from);
    uint32_t high;
    memcpy(&high, from + 2, 4);
    for (int k = 0; k < 32; k++) {
      const int nibble = k < 16 ? from[6 + k] & 15 : from[6 + k - 16] >> 4;
      to.set(k, 128 - 16 + (nibble | static_cast<int>(high >> k & 1) << 4));
    }
  }
};
struct Q8_0 {
  using Panel = PanelQ8;
  static constexpr int bytes = 34, columns = 32;
  static void take(const uint8_t* from, const BlockOf<Panel>& to) {
    to.panel.scale[to.lane] = half_at(from);
    for (int k = 0; k < 32; k++) to.set(k, 128 + static_cast<int8_t>(from[2 + k]));
  }
};
struct Q4_K {
  using Panel = PanelQ4K;
  static constexpr int bytes = 144, columns = 256;
  static void take(const uint8_t* from, const BlockOf<Panel>& to) {
    to.panel.d[to.lane] = half_at(from);
    to.panel.dmin[to.lane] = half_at(from + 2);
    const uint8_t* packed = from + 4;  // eight scales and eight mins of 6 bits in 12 bytes
    const int j = to.part;
    to.panel.scale[j][to.lane] = j < 4 ? packed[j] & 63 : (packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4;
    to.panel.min[j][to.lane] = j < 4 ? packed[j + 4] & 63 : (packed[j + 4] >> 4) | (packed[j] >> 6) << 4;
    const uint8_t* quants = from + 16 + j / 2 * 32;
    for (int k = 0; k < 32; k++) to.set(k, j % 2 == 0 ? quants[k] & 15 : quants[k] >> 4);
  }
};

template <class Source> bool repack_as(const uint8_t* blocks, int64_t bytes, int64_t first_row, int64_t rows, const View& stored) {
  const int64_t columns = stored.dim[1], per_row = columns / Source::columns;
  if (columns % Source::columns != 0 || bytes != rows * per_row * Source::bytes) return false;
  for (int64_t row = 0; row < rows; row++)
    for (int64_t block = 0; block < columns / quant_block; block++)
      Source::take(blocks + (row * per_row + block * quant_block / Source::columns) * Source::bytes, {stored, first_row + row, block});
  return true;
}

}  // namespace

void pack_quantised(const float* values, const View& stored) {
  const int64_t rows = stored.dim[0], columns = stored.dim[1];
  memset(stored.data, 0, stored.bytes);
  with_quantised(stored.dtype, [&](auto panel) {
    using Panel = decltype(panel);
    if constexpr (!std::is_same_v<Panel, PanelQ4K>) {  // only ever taken over from a file
      for (int64_t row = 0; row < rows; row++) {
        for (int64_t block = 0; block * quant_block < columns; block++) {
          float x[quant_block] = {};
          std::copy_n(values + row * columns + block * quant_block, std::min<int64_t>(quant_block, columns - block * quant_block), x);
          pack_block(BlockOf<Panel>(stored, row, block), x);
        }
      }
    }
  });
}

void unpack_quantised_row(const View& stored, int64_t row, float* values) {
  with_quantised(stored.dtype, [&](auto panel) {
    for (int64_t column = 0; column < stored.dim[1]; column += quant_block) {
      const BlockOf<decltype(panel)> block(stored, row, column / quant_block);
      for (int64_t k = 0; k < std::min<int64_t>(quant_block, stored.dim[1] - column); k++)
        values[column + k] = block.value(block.get(static_cast<int>(k)));
    }
  });
}

bool repack(SourceBlocks source, const uint8_t* blocks, int64_t bytes, int64_t first_row, int64_t rows, const View& stored) {
  if (first_row < 0 || rows < 0 || first_row > stored.dim[0] - rows) return false;
  switch (source) {
    case SourceBlocks::q4_0: return stored.dtype == DType::panel_q4 && repack_as<Q4_0>(blocks, bytes, first_row, rows, stored);
    case SourceBlocks::q4_1: return stored.dtype == DType::panel_q4_min && repack_as<Q4_1>(blocks, bytes, first_row, rows, stored);
    case SourceBlocks::q5_0: return stored.dtype == DType::panel_q8 && repack_as<Q5_0>(blocks, bytes, first_row, rows, stored);
    case SourceBlocks::q8_0: return stored.dtype == DType::panel_q8 && repack_as<Q8_0>(blocks, bytes, first_row, rows, stored);
    case SourceBlocks::q4_k: return stored.dtype == DType::panel_q4_k && repack_as<Q4_K>(blocks, bytes, first_row, rows, stored);
  }
  return false;
}

}  // namespace cria::CRIA_ISA
