// x * weight^T for quantised weights: the rows of x are rounded to 8 bits per block of 32 columns, products within a block are exact integers,
// and the blocks' sums are added in f32 in the order of the columns. So a row's result is the same whatever rows are computed with it.
#include "quantised-product.h"

#include <algorithm>

#include "quantised.h"
#include "vectors.h"

namespace cria::CRIA_ISA {

namespace {

constexpr int vectors = panel_rows / VL;          // that make up the rows of a panel
constexpr int tile_rows = VL == 16 ? 12 : VL == 8 ? 4 : 1;  // rows of x whose sums fit in registers
constexpr int unrolled = VL == 4 ? 1 : 8;  // without byte products a step is long enough
constexpr int64_t block_bytes_in_cache = 256 << 10;  // of quantised x that stay in the second-level cache

// Rows of x as the product reads them: tiles of `tile_rows` rows (the last may be smaller), in a tile the rows' numbers lie side by side.
struct QuantisedRows {
  int64_t rows, blocks;
  int32_t* words;  // [tile][block][8][row of tile]: four int8 values each
  float* scale;    // [tile][block][row of tile]
  int32_t* extra;  // likewise: what the format adds to the integer sum, or as a float the scaled sum of the quants

  int64_t rows_of_tile(int64_t tile) const { return std::min<int64_t>(tile_rows, rows - tile * tile_rows); }
};

// ---- formats: what the integer part of a block is, and how it scales

// acc + the four products of each lane's bytes: unsigned weights, signed x.
CRIA_INLINE vi dot4(vi acc, vi weights, int32_t x) {
#if defined(__AVX512VNNI__)
  return (vi)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)weights, _mm512_set1_epi32(x));
#elif defined(__AVX2__)
  const __m256i pairs = _mm256_maddubs_epi16((__m256i)weights, _mm256_set1_epi32(x));
  return acc + (vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#else
  for (int byte = 0; byte < 32; byte += 8) acc += ((weights >> byte) & 255) * static_cast<int8_t>(x >> byte);
  return acc;
#endif
}

// As dot4 for weights that are 128 too large. `bias` is what remains for the caller to take off, times the sum of x.
#if defined(__AVX512VNNI__)
constexpr int q8_bias = 128;
CRIA_INLINE vi dot4_q8(vi acc, vi weights, int32_t x) { return dot4(acc, weights, x); }
#elif defined(__AVX2__)
constexpr int q8_bias = 0;  // unsigned times signed bytes would overflow 16 bits: |w| * (sign of w times x) cannot
CRIA_INLINE vi dot4_q8(vi acc, vi weights, int32_t x) {
  const __m256i signed_weights = _mm256_xor_si256((__m256i)weights, _mm256_set1_epi8(-128));
  const __m256i turned = _mm256_sign_epi8(_mm256_set1_epi32(x), signed_weights);
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(signed_weights), turned);
  return acc + (vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
#else
constexpr int q8_bias = 128;
CRIA_INLINE vi dot4_q8(vi acc, vi weights, int32_t x) { return dot4(acc, weights, x); }
#endif

CRIA_INLINE vi load_chunk(const uint8_t* chunk, int v) {
  vi x;
  memcpy(&x, chunk + v * VL * 4, sizeof x);
  return x;
}

template <class Panel> struct Format;

template <> struct Format<PanelQ8> {
  static constexpr int bias = q8_bias;
  static constexpr bool has_min = false;
  static constexpr int words = 8;
  const PanelQ8& at;
  Format(const void* panel, int64_t block) : at(static_cast<const PanelQ8*>(panel)[block]) {}
  CRIA_INLINE vi word(int w, int v) const { return load_chunk(at.quants[w], v); }
  static CRIA_INLINE vi dot(vi acc, vi weights, int32_t x) { return dot4_q8(acc, weights, x); }
  CRIA_INLINE vf scale(int v) const { return load(at.scale + v * VL); }
  CRIA_INLINE vf min(int) const { return zero(); }
};

// Word 2c is the low nibbles of chunk c, word 2c + 1 the high ones.
CRIA_INLINE vi nibbles(const uint8_t (*chunks)[64], int w, int v) {
  const vi both = load_chunk(chunks[w / 2], v);
  return ((w % 2) ? (both >> 4) : both) & 0x0f0f0f0f;
}

template <class Panel> struct NibbleFormat {
  static constexpr int bias = 8;
  static constexpr bool has_min = false;
  const Panel& at;
  NibbleFormat(const void* panel, int64_t block) : at(static_cast<const Panel*>(panel)[block]) {}
  CRIA_INLINE vi word(int w, int v) const { return nibbles(at.quants, w, v); }
  static CRIA_INLINE vi dot(vi acc, vi weights, int32_t x) { return dot4(acc, weights, x); }
  CRIA_INLINE vf scale(int v) const { return load(at.scale + v * VL); }
  CRIA_INLINE vf min(int) const { return zero(); }
};
template <> struct Format<PanelQ4> : NibbleFormat<PanelQ4> { using NibbleFormat::NibbleFormat; };

template <> struct Format<PanelQ4Min> : NibbleFormat<PanelQ4Min> {
  using NibbleFormat::NibbleFormat;
  static constexpr int bias = 0;
  static constexpr bool has_min = true;
  CRIA_INLINE vf min(int v) const { return load(at.min + v * VL); }
};

CRIA_INLINE vf small_integers(const uint8_t* p) {
  vi x;
  for (int i = 0; i < VL; i++) x[i] = p[i];
  return __builtin_convertvector(x, vf);
}

template <> struct Format<PanelQ4K> {
  static constexpr int bias = 0;
  static constexpr bool has_min = true;
  const PanelQ4K& at;
  int part;
  Format(const void* panel, int64_t block) : at(static_cast<const PanelQ4K*>(panel)[block / 8]), part(static_cast<int>(block % 8)) {}
  CRIA_INLINE vi word(int w, int v) const { return nibbles(at.quants[part], w, v); }
  static CRIA_INLINE vi dot(vi acc, vi weights, int32_t x) { return dot4(acc, weights, x); }
  CRIA_INLINE vf scale(int v) const { return load(at.d + v * VL) * small_integers(at.scale[part] + v * VL); }
  CRIA_INLINE vf min(int v) const { return -(load(at.dmin + v * VL) * small_integers(at.min[part] + v * VL)); }
};

// ---- rounding x

template <class T> void quantise_row(const T* x, int64_t columns, int64_t row, int bias, bool has_min, const QuantisedRows& q) {
  const int64_t tile = row / tile_rows, lane = row % tile_rows, rows = q.rows_of_tile(tile);
  const int64_t first = tile * tile_rows * q.blocks;
  const vf magic = splat(12582912.0f);  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  for (int64_t block = 0; block < q.blocks; block++) {
    const int64_t begin = block * quant_block, count = std::min<int64_t>(quant_block, columns - begin);
    vf values[quant_block / VL];
    vf largest = zero();
    for (int i = 0; i < quant_block / VL; i++) {
      const int left = static_cast<int>(std::clamp<int64_t>(count - i * VL, 0, VL));
      values[i] = left == VL ? load(x + begin + i * VL) : load(x + begin + i * VL, left);
      const vf magnitude = from_bits(bits(values[i]) & 0x7fffffff);
      largest = (magnitude > largest) ? magnitude : largest;
    }
    const float scale = max_of(largest) / 127.0f;
    const vf inverse = splat(scale > 0 ? 1.0f / scale : 0.0f);
    int8_t quants[quant_block];
    int32_t total = 0;
    for (int i = 0; i < quant_block / VL; i++) {
      const vi rounded = bits(values[i] * inverse + magic) - bits(magic);
      for (int j = 0; j < VL; j++) total += quants[i * VL + j] = static_cast<int8_t>(rounded[j]);
    }
    for (int w = 0; w < 8; w++) memcpy(q.words + (first + block * rows) * 8 + w * rows + lane, quants + 4 * w, 4);
    const int64_t at = first + block * rows + lane;
    q.scale[at] = scale;
    const float scaled_sum = scale * static_cast<float>(total);
    q.extra[at] = -bias * total;
    if (has_min) memcpy(q.extra + at, &scaled_sum, 4);
  }
}

// ---- the product

// Rows `row .. row + R` of a tile with `rows` rows, times P neighbouring panels `panel_bytes` apart.
template <class Panel, int R, int P, class Finish>
CRIA_INLINE void tile_product(const QuantisedRows& q, int64_t first, int64_t rows, int64_t row, const uint8_t* panels, int64_t panel_bytes, Finish&& finish) {
  vf sums[P][R][vectors] = {};
  for (int64_t block = 0; block < q.blocks; block++) {
    const int32_t* words = q.words + (first + block * rows) * 8 + row;
    const int32_t* extra = q.extra + first + block * rows + row;
    const float* scale = q.scale + first + block * rows + row;
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) {
      const Format<Panel> weights(panels + p * panel_bytes, block);
#pragma GCC unroll unrolled
      for (int v = 0; v < vectors; v++) {
        vi exact[R];
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) exact[r] = Format<Panel>::has_min ? vi{} : splat(extra[r]);
#pragma GCC unroll unrolled
        for (int w = 0; w < 8; w++) {
          const vi word = weights.word(w, v);
#pragma GCC unroll 12
          for (int r = 0; r < R; r++) exact[r] = Format<Panel>::dot(exact[r], word, words[w * rows + r]);
        }
        const vf weight_scale = weights.scale(v), min = weights.min(v);
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
          sums[p][r][v] = fma(__builtin_convertvector(exact[r], vf), weight_scale * splat(scale[r]), sums[p][r][v]);
          if constexpr (Format<Panel>::has_min) {
            float scaled_sum;
            memcpy(&scaled_sum, extra + r, 4);
            sums[p][r][v] = fma(min, splat(scaled_sum), sums[p][r][v]);
          }
        }
      }
    }
  }
  for (int p = 0; p < P; p++)
    for (int r = 0; r < R; r++) finish(row + r, p, sums[p][r]);
}

template <class Panel> struct Product {
  const View& addend;
  const View& out;
  QuantisedRows q;
  const uint8_t* panels;
  int64_t panel_bytes;

  // Columns of out that panel `panel` makes, for one row.
  void finish(int64_t row, int64_t panel, const vf* sums) const {
    const int64_t columns = out.dim[1];
    for (int v = 0; v < vectors; v++) {
      const int64_t column = panel * panel_rows + v * VL;
      const int count = static_cast<int>(std::clamp<int64_t>(columns - column, 0, VL));
      if (count == 0) return;
      const int64_t at = row * columns + column;
      vf result = sums[v];
      if (addend) result += count == VL ? load(addend.as<float>() + at) : load(addend.as<float>() + at, count);
      with_type(out.dtype, [&](auto type) {
        using T = decltype(type);
        if (count == VL) store(out.as<T>() + at, result);
        else store(out.as<T>() + at, result, count);
      });
    }
  }

  template <int R, int P> int64_t rows_times(int64_t tile, int64_t row, int64_t rows, int64_t panel) const {
    for (; row + R <= rows; row += R) {
      tile_product<Panel, R, P>(q, tile * tile_rows * q.blocks, rows, row, panels + panel * panel_bytes, panel_bytes,
                                [&](int64_t in_tile, int p, const vf* sums) { finish(tile * tile_rows + in_tile, panel + p, sums); });
    }
    return row;
  }

  // All rows of a tile times P panels from `panel` on.
  template <int P> void tile(int64_t tile, int64_t panel) const {
    const int64_t rows = q.rows_of_tile(tile);
    int64_t row = 0;
    if constexpr (P == 1) {
      if constexpr (tile_rows > 8) row = rows_times<tile_rows, 1>(tile, row, rows, panel);
      if constexpr (tile_rows > 4) row = rows_times<8, 1>(tile, row, rows, panel);
    }
    if constexpr (tile_rows > 1) row = rows_times<4, P>(tile, row, rows, panel);
    if constexpr (tile_rows > 1) row = rows_times<2, P>(tile, row, rows, panel);
    rows_times<1, P>(tile, row, rows, panel);
  }
};

constexpr int panels_at_once = VL == 16 ? 4 : VL == 8 ? 2 : 1;  // for few rows: as many streams of weights as hide the latency of a sum

template <class Panel> void product(const Command& command, Team& team) {
  const View& x = command.in[0];
  const View& weight = command.in[1];
  const View none;
  const int64_t rows = x.dim[0], columns = x.dim[1];
  const int64_t blocks = (columns + columns_of<Panel> - 1) / columns_of<Panel> * (columns_of<Panel> / quant_block);
  int32_t* words = command.workspace.as<int32_t>();
  float* scale = reinterpret_cast<float*>(words + rows * blocks * 8);
  const Product<Panel> work{command.num_inputs > 2 ? command.in[2] : none, command.out[0],
                            {rows, blocks, words, scale, reinterpret_cast<int32_t*>(scale + rows * blocks)},
                            weight.as<uint8_t>(), blocks * quant_block / columns_of<Panel> * static_cast<int64_t>(sizeof(Panel))};
  if (quantised_workspace_bytes(rows, blocks) > command.workspace.bytes) return team.fail("internal: the workspace of a quantised product is too small");
  with_type(x.dtype, [&](auto type) {
    using T = decltype(type);
    team.each(rows, [&](int64_t row) {
      quantise_row(x.as<T>() + row * columns, columns, row, Format<Panel>::bias, Format<Panel>::has_min, work.q);
    }, 4);
  });
  team.barrier();
  const int64_t panels = (weight.dim[0] + panel_rows - 1) / panel_rows;
  if (rows <= std::min(4, tile_rows)) {
    const int64_t groups = (panels + panels_at_once - 1) / panels_at_once;
    return team.each(groups, [&](int64_t group) {
      const int64_t first = group * panels_at_once, last = std::min(panels, first + panels_at_once);
      if (last - first == panels_at_once) return work.template tile<panels_at_once>(0, first);
      for (int64_t panel = first; panel < last; panel++) work.template tile<1>(0, panel);
    });
  }
  const int64_t tiles = (rows + tile_rows - 1) / tile_rows;
  const int64_t tiles_at_once = std::max<int64_t>(1, block_bytes_in_cache / (blocks * quant_block * tile_rows));
  const int64_t tile_groups = (tiles + tiles_at_once - 1) / tiles_at_once;
  constexpr int64_t panels_per_task = 8;
  const int64_t panel_groups = (panels + panels_per_task - 1) / panels_per_task;
  team.each(tile_groups * panel_groups, [&](int64_t task) {
    const int64_t first_tile = task / panel_groups * tiles_at_once, first_panel = task % panel_groups * panels_per_task;
    for (int64_t panel = first_panel; panel < std::min(panels, first_panel + panels_per_task); panel++)
      for (int64_t t = first_tile; t < std::min(tiles, first_tile + tiles_at_once); t++) work.template tile<1>(t, panel);
  });
}

}  // namespace

void quantised_product(const Command& command, Team& team) {
  with_quantised(command.in[1].dtype, [&](auto panel) { product<decltype(panel)>(command, team); });
}

}  // namespace cria::CRIA_ISA
