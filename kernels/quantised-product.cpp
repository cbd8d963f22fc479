// x * weight^T for quantised weights: the rows of x are rounded to 8 bits per block of 32 columns, products within a block are exact integers,
// and the blocks' sums are added in f32 in the order of the columns. So a row's result is the same whatever rows are computed with it.
#include "quantised-product.h"

#include <algorithm>

#include "quantised.h"
#include "vectors.h"

namespace cria::CRIA_ISA {

namespace {

constexpr int vectors = panel_rows / VL;                   // that make up the rows of a panel
constexpr int tile_rows = VL == 16 ? 6 : VL == 8 ? 4 : 1;  // rows of x that are multiplied at a time
constexpr int64_t tile_group_bytes = 384 << 10;            // of rounded x that stay in the second-level cache
constexpr int64_t window_blocks = 32;                      // of two panels that stay in the first-level cache
constexpr int64_t blocks_per_task = 64;   // rounded at a time
constexpr int64_t blocks_for_each = 256;  // so few are rounded by every thread for itself, which saves a barrier; as in native-lowering.ts

// Rows of x as the product reads them: in tiles of about equal size, at most `tile_rows`; in a tile the rows' blocks lie side by side.
struct QuantisedRows {
  int64_t rows, blocks, tiles;
  int32_t* words;  // [tile][block][row of tile][8]: four int8 values each
  float* scale;    // [tile][block][row of tile]
  int32_t* extra;  // likewise: what the format adds to the integer sum, or as a float the scaled sum of the quants

  QuantisedRows(int64_t rows, int64_t blocks, void* memory)
      : rows(rows), blocks(blocks), tiles((rows + tile_rows - 1) / tile_rows), words(static_cast<int32_t*>(memory)),
        scale(reinterpret_cast<float*>(words + rows * blocks * 8)), extra(reinterpret_cast<int32_t*>(scale + rows * blocks)) {}
  CRIA_INLINE int64_t first_row(int64_t tile) const { return tile * rows / tiles; }
  CRIA_INLINE int rows_of(int64_t tile) const { return static_cast<int>(first_row(tile + 1) - first_row(tile)); }
};

// ---- formats: what the integer part of a block is, and how it scales

// Sums of four products of each lane's bytes, unsigned weights times signed x: start, dot for each word of a block, finish. `extra` is added once.
struct ByteSum {
#if defined(__AVX512VNNI__)
  static constexpr bool takes_bytes = true;  // all 8 bits of the weights
  static CRIA_INLINE vi start(int32_t extra) { return splat(extra); }
  static CRIA_INLINE vi dot(vi acc, vi weights, vi x) { return (vi)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)weights, (__m512i)x); }
  static CRIA_INLINE vi finish(vi acc, int32_t) { return acc; }
#elif defined(__AVX2__)
  static constexpr bool takes_bytes = false;
  // Weights are below 16, so that the sixteen products of a 16-bit lane, at most 15 * 127 each, stay below 2^15.
  static CRIA_INLINE vi start(int32_t) { return vi{}; }
  static CRIA_INLINE vi dot(vi acc, vi weights, vi x) {
    return (vi)_mm256_add_epi16((__m256i)acc, _mm256_maddubs_epi16((__m256i)weights, (__m256i)x));
  }
  static CRIA_INLINE vi finish(vi acc, int32_t extra) { return (vi)_mm256_madd_epi16((__m256i)acc, _mm256_set1_epi16(1)) + splat(extra); }
#else
  static constexpr bool takes_bytes = false;
  static CRIA_INLINE vi start(int32_t extra) { return splat(extra); }
  static CRIA_INLINE vi dot(vi acc, vi weights, vi x) {
    for (int byte = 0; byte < 32; byte += 8) acc += ((weights >> byte) & 255) * ((x << (24 - byte)) >> 24);
    return acc;
  }
  static CRIA_INLINE vi finish(vi acc, int32_t) { return acc; }
#endif
};

// The same for weights of 8 bits that are 128 too large. `bias` is what remains for the caller to take off, times the sum of x.
#if defined(__AVX2__) && !defined(__AVX512VNNI__)
struct WideByteSum {
  static constexpr bool takes_bytes = false;
  static constexpr int bias = 0;  // unsigned times signed bytes would overflow 16 bits: |w| * (sign of w times x) cannot
  static CRIA_INLINE vi start(int32_t extra) { return splat(extra); }
  static CRIA_INLINE vi dot(vi acc, vi weights, vi x) {
    const __m256i signed_weights = _mm256_xor_si256((__m256i)weights, _mm256_set1_epi8(-128));
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(signed_weights), _mm256_sign_epi8((__m256i)x, signed_weights));
    return acc + (vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }
  static CRIA_INLINE vi finish(vi acc, int32_t) { return acc; }
};
#else
struct WideByteSum : ByteSum {
  static constexpr int bias = 128;
};
#endif

CRIA_INLINE vi load_chunk(const uint8_t* chunk, int v) {
  vi x;
  memcpy(&x, chunk + v * VL * 4, sizeof x);
  return x;
}

template <class Panel> struct Format;

template <> struct Format<PanelQ8> {
  using Sum = WideByteSum;
  static constexpr int bias = WideByteSum::bias;
  static constexpr bool has_min = false;
  const PanelQ8& at;
  Format(const void* panel, int64_t block) : at(static_cast<const PanelQ8*>(panel)[block]) {}
  template <bool> CRIA_INLINE vi word(int w, int v) const { return load_chunk(at.quants[w], v); }
  CRIA_INLINE vf scale(int v) const { return load(at.scale + v * VL); }
  CRIA_INLINE vf min(int) const { return zero(); }
};

// Word 2c is the low nibbles of chunk c, word 2c + 1 the high ones, which `in_place` leaves where they are: 16 times as large.
template <bool in_place> CRIA_INLINE vi nibbles(const uint8_t (*chunks)[64], int w, int v) {
  const vi both = load_chunk(chunks[w / 2], v);
  if (w % 2 == 0) return both & 0x0f0f0f0f;
  return in_place ? both & splat(static_cast<int32_t>(0xf0f0f0f0)) : (both >> 4) & 0x0f0f0f0f;
}

template <class Panel> struct NibbleFormat {
  using Sum = ByteSum;
  static constexpr int bias = 8;
  static constexpr bool has_min = false;
  const Panel& at;
  NibbleFormat(const void* panel, int64_t block) : at(static_cast<const Panel*>(panel)[block]) {}
  template <bool in_place> CRIA_INLINE vi word(int w, int v) const { return nibbles<in_place>(at.quants, w, v); }
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

CRIA_INLINE vf small_integers(const uint8_t* p) { return __builtin_convertvector(load_bytes(reinterpret_cast<const char*>(p)), vf); }

template <> struct Format<PanelQ4K> {
  using Sum = ByteSum;
  static constexpr int bias = 0;
  static constexpr bool has_min = true;
  const PanelQ4K& at;
  int part;
  Format(const void* panel, int64_t block) : at(static_cast<const PanelQ4K*>(panel)[block / 8]), part(static_cast<int>(block % 8)) {}
  template <bool in_place> CRIA_INLINE vi word(int w, int v) const { return nibbles<in_place>(at.quants[part], w, v); }
  CRIA_INLINE vf scale(int v) const { return load(at.d + v * VL) * small_integers(at.scale[part] + v * VL); }
  CRIA_INLINE vf min(int v) const { return -(load(at.dmin + v * VL) * small_integers(at.min[part] + v * VL)); }
};

// ---- rounding x

// Columns of a block as vectors; those beyond the matrix are zeros.
template <class T> CRIA_INLINE void load_block(const T* x, int64_t count, vf (&values)[quant_block / VL]) {
#pragma GCC unroll 8
  for (int i = 0; i < quant_block / VL; i++) {
    const int left = static_cast<int>(std::clamp<int64_t>(count - i * VL, 0, VL));
    values[i] = left == VL ? load(x + i * VL) : load(x + i * VL, left);
  }
}

typedef uint8_t vb __attribute__((vector_size(VL)));

// Rounds `count` columns of one row to words and their scale. Gives the sum of the quants.
template <class T> CRIA_INLINE float quantise_block(const T* x, int64_t count, int32_t* words, float* scale) {
  constexpr int parts = quant_block / VL;
  const vf magic = splat(12582912.0f);  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  vf values[parts], largest = zero(), total = zero();
  load_block(x, count, values);
#pragma GCC unroll 8
  for (vf value : values) {
    const vf magnitude = from_bits(bits(value) & 0x7fffffff);
    largest = (magnitude > largest) ? magnitude : largest;
  }
  *scale = max_of(largest) / 127.0f;
  const vf inverse = splat(*scale > 0 ? 1.0f / *scale : 0.0f);
#pragma GCC unroll 8
  for (int i = 0; i < parts; i++) {
    const vf shifted = values[i] * inverse + magic;
    const vb quants = __builtin_convertvector(bits(shifted) - bits(magic), vb);
    memcpy(reinterpret_cast<char*>(words) + i * VL, &quants, sizeof quants);
    total += shifted - magic;
  }
  return sum(total);
}

// Blocks [begin, end) of the rows of a tile.
template <class F, class T> void quantise_tile(const T* x, int64_t columns, int64_t tile, int64_t begin, int64_t end, const QuantisedRows& q) {
  const int64_t first = q.first_row(tile), rows = q.rows_of(tile);
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t block = begin; block < end; block++) {
      const int64_t at = first * q.blocks + block * rows + r, column = block * quant_block;
      const T* from = x + (first + r) * columns + column;
      const float total = quantise_block(from, std::min<int64_t>(quant_block, columns - column), q.words + at * 8, q.scale + at);
      const float scaled_sum = q.scale[at] * total;
      q.extra[at] = -F::bias * static_cast<int32_t>(total);
      if (F::has_min) memcpy(q.extra + at, &scaled_sum, 4);
    }
  }
}

// ---- the product

// Adds blocks [begin, end) of R rows times P neighbouring panels, `panel_bytes` apart, to their sums. `from` is the first block of the tile.
template <class Panel, int R, int P>
CRIA_INLINE void add_blocks(const QuantisedRows& q, int64_t from, const uint8_t* panels, int64_t panel_bytes, int64_t begin, int64_t end,
                            vf (&sums)[P * vectors][R]) {
  using Sum = typename Format<Panel>::Sum;
  constexpr int N = P * vectors;
  // With registers to spare, high nibbles are summed apart, unshifted: fewer instructions, and two short chains instead of a long one.
  constexpr bool apart = Sum::takes_bytes && !std::is_same_v<Panel, PanelQ8> && N * R <= 4;
  for (int64_t block = begin; block < end; block++) {
    const int32_t* words = q.words + (from + block * R) * 8;
    const int32_t* extra = q.extra + from + block * R;
    const float* scale = q.scale + from + block * R;
    const auto weights = [&](int n) { return Format<Panel>(panels + n / vectors * panel_bytes, block); };
    vi exact[N][R], high[N][R];
#pragma GCC unroll 16
    for (int n = 0; n < N; n++)
#pragma GCC unroll 6
      for (int r = 0; r < R; r++) exact[n][r] = Sum::start(Format<Panel>::has_min ? 0 : extra[r]), high[n][r] = vi{};
#pragma GCC unroll 8
    for (int w = 0; w < 8; w++) {
      vi word[N];
#pragma GCC unroll 16
      for (int n = 0; n < N; n++) word[n] = weights(n).template word<apart>(w, n % vectors);
#pragma GCC unroll 6
      for (int r = 0; r < R; r++) {
        const vi x = splat(words[r * 8 + w]);
#pragma GCC unroll 16
        for (int n = 0; n < N; n++) {
          vi& sum = apart && w % 2 ? high[n][r] : exact[n][r];
          sum = Sum::dot(sum, word[n], x);
        }
      }
    }
#pragma GCC unroll 16
    for (int n = 0; n < N; n++) {
      const vf weight_scale = weights(n).scale(n % vectors), min = weights(n).min(n % vectors);
#pragma GCC unroll 6
      for (int r = 0; r < R; r++) {
        const vi whole = Sum::finish(apart ? exact[n][r] + (high[n][r] >> 4) : exact[n][r], Format<Panel>::has_min ? 0 : extra[r]);
        sums[n][r] = fma(__builtin_convertvector(whole, vf), weight_scale * splat(scale[r]), sums[n][r]);
        if constexpr (Format<Panel>::has_min) {
          float scaled_sum;
          memcpy(&scaled_sum, extra + r, 4);
          sums[n][r] = fma(min, splat(scaled_sum), sums[n][r]);
        }
      }
    }
  }
}

// Calls f with the number of rows of a tile as a constant.
template <int R = tile_rows, class F> CRIA_INLINE void with_rows(int rows, F&& f) {
  if (rows == R) return f(std::integral_constant<int, R>{});
  if constexpr (R > 1) with_rows<R - 1>(rows, f);
}

template <class Panel> struct Product {
  const View& addend;
  const View& out;
  const QuantisedRows& q;
  const uint8_t* weight;
  int64_t panels, panel_bytes;

  // Columns [column, column + VL) of a row of out: whole vectors of f32 here, everything else below.
  CRIA_INLINE void finish(int64_t row, int64_t column, vf result) const {
    const int64_t at = row * out.dim[1] + column;
    if (column + VL > out.dim[1] || out.dtype != DType::f32) return finish_part(at, out.dim[1] - column, result);
    store(out.as<float>() + at, addend ? result + load(addend.as<float>() + at) : result);
  }

  __attribute__((noinline)) void finish_part(int64_t at, int64_t columns_left, vf result) const {
    const int count = static_cast<int>(std::clamp<int64_t>(columns_left, 0, VL));
    if (count == 0) return;
    if (addend) result += load(addend.as<float>() + at, count);
    with_type(out.dtype, [&](auto type) { store(out.as<decltype(type)>() + at, result, count); });
  }

  // Tiles [first_tile, last_tile) times P panels: a window of the panels at a time, so that it is fetched once for all tiles.
  template <int P> void multiply(int64_t panel, int64_t first_tile, int64_t last_tile, int64_t window, vf* memory) const {
    for (int64_t begin = 0; begin < q.blocks; begin += window) {
      const int64_t end = std::min(q.blocks, begin + window);
      vf* kept = memory;
      for (int64_t tile = first_tile; tile < last_tile; tile++) {
        with_rows(q.rows_of(tile), [&](auto rows) {
          constexpr int R = rows;
          vf sums[P * vectors][R];
#pragma GCC unroll 24
          for (int i = 0; i < P * vectors * R; i++) sums[i / R][i % R] = begin == 0 ? zero() : kept[i];
          add_blocks<Panel, R, P>(q, q.first_row(tile) * q.blocks, weight + panel * panel_bytes, panel_bytes, begin, end, sums);
#pragma GCC unroll 24
          for (int i = 0; i < P * vectors * R; i++) {
            if (end < q.blocks) kept[i] = sums[i / R][i % R];
            else finish(q.first_row(tile) + i % R, panel * panel_rows + i / R * VL, sums[i / R][i % R]);
          }
        });
        kept += P * vectors * tile_rows;
      }
    }
  }

  // As multiply for panels [begin, end), any number.
  template <int P> void multiply_all(int64_t begin, int64_t end, int64_t first_tile, int64_t last_tile, int64_t window, vf* memory) const {
    int64_t panel = begin;
    for (; panel + P <= end; panel += P) multiply<P>(panel, first_tile, last_tile, window, memory);
    if constexpr (P > 1) multiply_all<P / 2>(panel, end, first_tile, last_tile, window, memory);
  }
};

// Few rows, limited by reading the weights: one row goes through them as they lie in memory, more share a load among as many panels as there
// are registers for.
template <class Panel> void multiply_few(const Product<Panel>& work, Team& team) {
  constexpr int most = VL == 16 ? 4 : VL == 8 ? 2 : 1;
  const bool is_wide = work.q.rows * 2 <= tile_rows && work.panels >= 2 * most * team.size;
  const int64_t group = work.q.rows == 1 ? 1 : is_wide ? most : std::max(1, most / 2);
  team.each_in_order((work.panels + group - 1) / group, [&](int64_t first, int64_t last) {
    const int64_t begin = first * group, end = std::min(work.panels, last * group);
    if (group == 1) work.template multiply_all<1>(begin, end, 0, 1, work.q.blocks, nullptr);
    else if (is_wide) work.template multiply_all<most>(begin, end, 0, 1, work.q.blocks, nullptr);
    else work.template multiply_all<std::max(1, most / 2)>(begin, end, 0, 1, work.q.blocks, nullptr);
  });
}

template <class Panel> void multiply_many(const Product<Panel>& work, Team& team) {
  constexpr int P = VL == 16 ? 2 : 1;
  const QuantisedRows& q = work.q;
  const int64_t tiles_at_once = std::max<int64_t>(1, tile_group_bytes / (q.blocks * quant_block * tile_rows));
  const int64_t tile_groups = (q.tiles + tiles_at_once - 1) / tiles_at_once, panel_groups = (work.panels + P - 1) / P;
  vf* memory = static_cast<vf*>(team.scratch(tiles_at_once * P * vectors * tile_rows * static_cast<int64_t>(sizeof(vf))));
  team.each(tile_groups * panel_groups, [&](int64_t task) {
    const int64_t first = task / panel_groups * tiles_at_once, panel = task % panel_groups * P;
    work.template multiply_all<P>(panel, std::min(work.panels, panel + P), first, std::min(q.tiles, first + tiles_at_once), window_blocks, memory);
  });
}

template <class Panel> void product(const Command& command, Team& team) {
  const View &x = command.in[0], &weight = command.in[1];
  const View none;
  const int64_t rows = x.dim[0], columns = x.dim[1];
  const int64_t blocks = (columns + columns_of<Panel> - 1) / columns_of<Panel> * (columns_of<Panel> / quant_block);
  const int64_t bytes = quantised_workspace_bytes(rows, blocks);
  const bool each_for_itself = rows <= tile_rows && rows * blocks <= blocks_for_each;
  if (!each_for_itself && bytes > command.workspace.bytes) return team.fail("internal: the workspace of a quantised product is too small");
  const QuantisedRows q(rows, blocks, each_for_itself ? team.scratch(bytes) : command.workspace.data);
  with_type(x.dtype, [&](auto type) {
    using T = decltype(type);
    const int64_t parts = (blocks + blocks_per_task - 1) / blocks_per_task;
    const auto round = [&](int64_t task) {
      const int64_t begin = task % parts * blocks_per_task;
      quantise_tile<Format<Panel>>(x.as<T>(), columns, task / parts, begin, std::min(blocks, begin + blocks_per_task), q);
    };
    if (each_for_itself) for (int64_t task = 0; task < q.tiles * parts; task++) round(task);
    else team.each(q.tiles * parts, round);
  });
  if (!each_for_itself) team.barrier();
  const Product<Panel> work{command.num_inputs > 2 ? command.in[2] : none, command.out[0], q, weight.as<uint8_t>(),
                            (weight.dim[0] + panel_rows - 1) / panel_rows, blocks * quant_block / columns_of<Panel> * static_cast<int64_t>(sizeof(Panel))};
  if (q.tiles == 1) multiply_few(work, team);
  else multiply_many(work, team);
}

}  // namespace

void quantised_product(const Command& command, Team& team) {
  with_quantised(command.in[1].dtype, [&](auto panel) { product<decltype(panel)>(command, team); });
}

}  // namespace cria::CRIA_ISA
