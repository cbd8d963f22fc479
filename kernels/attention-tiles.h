// What attention and its gradient share: segments and their key slots, key tiles, and the packing of rows into the operands of product.h.
//
// One kv head of a segment is worked on at a time, with the queries of all its query heads: row r is query r / group, head r % group. Rows lie
// across the lanes, so softmax needs no sums across lanes, and keys and values are read as they lie in the cache. Scores are kept in units of
// log2: score * scale * log2(e).
#pragma once
#include "operators.h"
#include "product.h"
#include "row-q8.h"

namespace cria::CRIA_ISA {

constexpr int key_tile = 64;          // tiles start at multiples of this from key 0, whatever the query
constexpr int block_rows = 2 * VL;    // rows whose scores are held at once
constexpr float log2_e = 0x1.715476p+0f, ln_2 = 0x1.62e43p-1f;

CRIA_INLINE int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
CRIA_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// 2^x for x <= 0, within 2 ulp; exactly 0 below -125 and exactly 1 at 0.
CRIA_INLINE vf exp2_below(vf x) {
  const vf magic = splat(0x1.8p23f + 127);  // adding it rounds to an integer and leaves that, with a float's exponent bias, in the low bits
  const vf shifted = x + magic;
  const vf f = x - (shifted - magic);
  vf p = splat(0x1.5bba14p-10f);
  p = fma(p, f, splat(0x1.3cea88p-7f));
  p = fma(p, f, splat(0x1.c6b752p-5f));
  p = fma(p, f, splat(0x1.ebf9bcp-3f));
  p = fma(p, f, splat(0x1.62e42ap-1f));
  p = fma(p, f, splat(1.0f));
  return (x < -125.0f) ? zero() : p * from_bits(bits(shifted) << 23);
}

// A tile's weights are summed in this many partial sums, key by key in turn, which are then folded in halves.
constexpr int partial_sums = 16;
template <class T> CRIA_INLINE T fold(T (&partial)[partial_sums]) {
  for (int step = partial_sums / 2; step > 0; step /= 2)
    for (int i = 0; i < step; i++) partial[i] = partial[i] + partial[i + step];
  return partial[0];
}

// The attributes and sizes of one attention command; q is its [T, heads * dim], k its [slots, kv_heads * dim].
struct Heads {
  int64_t count, kv_count, dim, group, block_size, tokens, slots;
  float scale, log2_scale;

  Heads(const Command& command, const View& q, const View& k)
      : count(static_cast<int64_t>(command.attr[0])), kv_count(static_cast<int64_t>(command.attr[1])),
        dim(static_cast<int64_t>(command.attr[2])), group(count / kv_count), block_size(static_cast<int64_t>(command.attr[4])),
        tokens(q.dim[0]), slots(k.dim[0]), scale(static_cast<float>(command.attr[3])), log2_scale(scale * log2_e) {}

  // Offset of row r of a kv head in a matrix of queries.
  CRIA_INLINE int64_t row(int64_t first_query, int64_t kv_head, int64_t r) const {
    return ((first_query + r / group) * count + kv_head * group + r % group) * dim;
  }
};

struct Segment {
  int64_t first, queries, keys, entry;
};

class Segments {
 public:
  Segments(const View& segments, const View& blocks, const Heads& heads, Team& team)
      : rows_(segments.as<int32_t>()), blocks_(blocks.as<int32_t>()), count_(segments.dim[0]), entries_(blocks.dim[0]), heads_(heads),
        team_(team) {}

  int64_t count() const { return count_; }

  // Segment i; an empty one, and a failed run, if it points out of bounds.
  Segment at(int64_t i) const {
    const int32_t* row = rows_ + 4 * i;
    const Segment segment{row[0], row[1], row[2], row[3]};
    if (is_inside(segment)) return segment;
    team_.fail("attention: a segment points outside the tokens, the block table or the cache");
    return {0, 0, 0, 0};
  }

  // Queries and keys of all segments: fewer than there are rows or slots when some belong to none.
  int64_t queries() const { return sum_of(&Segment::queries); }
  int64_t keys() const { return sum_of(&Segment::keys); }

  // The slots of keys [key, key + n); true if they are neighbours.
  bool slots(const Segment& segment, int64_t key, int n, int64_t* slot) const {
    bool neighbours = true;
    for (int i = 0; i < n;) {
      const int64_t block = (key + i) / heads_.block_size, within = (key + i) % heads_.block_size;
      const int64_t first = blocks_[segment.entry + block] + within, run = least(n - i, heads_.block_size - within);
      neighbours = neighbours && (i == 0 || first == slot[i - 1] + 1);
      for (int64_t j = 0; j < run; j++) slot[i++] = first + j;
    }
    return neighbours;
  }

  // The offsets, slot * stride, of the tile at `key`, filled up with the last one's; the number of its keys.
  int whole_tile(const Segment& segment, int64_t key, int64_t stride, int64_t* offset) const {
    const int n = static_cast<int>(least(key_tile, segment.keys - key));
    if (n <= 0) return 0;
    slots(segment, key, n, offset);
    for (int i = 0; i < key_tile; i++) offset[i] = i < n ? offset[i] * stride : offset[n - 1];
    return n;
  }

 private:
  int64_t sum_of(int64_t Segment::* size) const {
    int64_t total = 0;
    for (int64_t i = 0; i < count_; i++) total += at(i).*size;
    return total;
  }

  bool is_inside(const Segment& s) const {
    if (s.first < 0 || s.queries < 0 || s.keys < s.queries || s.entry < 0 || s.first + s.queries > heads_.tokens) return false;
    const int64_t blocks = (s.keys + heads_.block_size - 1) / heads_.block_size;
    if (s.entry + blocks > entries_) return false;
    for (int64_t i = 0; i < blocks; i++) {
      const int64_t slot = blocks_[s.entry + i];
      if (slot < 0 || slot + least(heads_.block_size, s.keys - i * heads_.block_size) > heads_.slots) return false;
    }
    return true;
  }

  const int32_t *rows_, *blocks_;
  int64_t count_, entries_;
  const Heads& heads_;
  Team& team_;
};

// Sets a tensor to zeros of its type.
CRIA_INLINE void clear(const View& x, Team& team) {
  const int64_t chunk = 1 << 16;
  team.each((x.bytes + chunk - 1) / chunk, [&](int64_t i) { memset(x.as<char>() + i * chunk, 0, least(chunk, x.bytes - i * chunk)); });
}

// Shares f(segment, part) out over the team for parts 0 .. parts(segment) - 1 of each segment.
template <class Parts, class F> void each_part(Team& team, const Segments& segments, Parts&& parts, F&& f) {
  int64_t total = 0;
  for (int64_t i = 0; i < segments.count(); i++) total += parts(segments.at(i));
  int64_t next = 0, begin = 0, end = 0;  // tasks come in rising order, so one walk over the segments finds them all
  Segment segment{};
  team.each(total, [&](int64_t task) {
    while (task >= end) {
      segment = segments.at(next++);
      begin = end;
      end += parts(segment);
    }
    f(segment, task - begin);
  });
}

// Hands out consecutive parts of a thread's scratch memory: run the layout once on Scratch{} to learn `used`, then on the memory.
struct Scratch {
  char* base = nullptr;
  int64_t used = 0;
  template <class T> T* take(int64_t count) {
    T* part = reinterpret_cast<T*>(base + used);
    used += round_up(count * static_cast<int64_t>(sizeof(T)), 64);
    return part;
  }
};

// Calls f with a value of the type of a matrix whose values become words of P: any floating type as f32, only bf16 as bf16.
template <class P, class F> CRIA_INLINE void with_word_type(DType dtype, F&& f) {
  if constexpr (P::values == 1) with_type(dtype, f);
  else f(bf16{});
}

// ---- packing; `row(i)` gives a pointer to row i's `dim` values, or null for a row of zeros

template <class T> CRIA_INLINE vf load_values(const T* p, int64_t left) {
  if (p == nullptr) return zero();
  return left >= VL ? load(p) : load(p, static_cast<int>(left));
}

// VL words along a row from value `at` on, as bits.
template <class P, class T> CRIA_INLINE vf load_words(const T* row, int64_t at, int64_t dim) {
  if constexpr (P::values == 1) return load_values(row ? row + at : nullptr, dim - at);
  else return load_values(row ? reinterpret_cast<const float*>(row + at) : nullptr, (dim - at) / 2);
}

// Word w of row i to out[w * rows + i]; rows is a multiple of VL.
template <class P, class Row> void pack_columns(Row&& row, int64_t rows, int64_t dim, typename P::Word* out) {
  const int64_t words = dim / P::values;
  for (int64_t i = 0; i < rows; i += VL)
    for (int64_t w = 0; w < words; w += VL) {
      vf square[VL];
      for (int j = 0; j < VL; j++) square[j] = load_words<P>(row(i + j), w * P::values, dim);
      transpose(square);
      for (int j = 0; j < least(VL, words - w); j++) store(reinterpret_cast<float*>(out) + (w + j) * rows + i, square[j]);
    }
}

// Row i as it is to out[i * step ...], step words.
template <class P, class Row> void pack_rows(Row&& row, int64_t rows, int64_t dim, int64_t step, typename P::Word* out) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t w = 0; w < step; w += VL)
      store(reinterpret_cast<float*>(out) + i * step + w, w * P::values < dim ? load_words<P>(row(i), w * P::values, dim) : zero());
}

// Value e of rows i, i + 1 ... of one word to out[i / values * step + e]; rows is a multiple of the values of a word.
template <class P, class Row> void pack_row_words(Row&& row, int64_t rows, int64_t dim, int64_t step, typename P::Word* out) {
  if constexpr (P::values == 1) {
    pack_rows<P>(row, rows, dim, step, out);
  } else {
    for (int64_t i = 0; i < rows; i += 2)
      for (int64_t e = 0; e < step; e += VL) {
        const auto *low = row(i), *high = row(i + 1);
        const vf first = load_values(e < dim && low ? low + e : nullptr, dim - e);
        const vf second = load_values(e < dim && high ? high + e : nullptr, dim - e);
        store(out + i / 2 * step + e, (vi)(((vu)first >> 16) | (vu)second));
      }
  }
}

// The rows of a cache that one tile of keys of one kv head stands in.
struct TileRows {
  const View& x;
  const int64_t stride, head_offset, dim;
  const int64_t* slot;
  int n;            // keys in the tile
  bool neighbours;  // consecutive slots

  template <class T> CRIA_INLINE const T* at(int64_t i) const { return x.as<T>() + slot[i] * stride + head_offset; }
  template <class T> CRIA_INLINE const T* row(int64_t i) const { return i < n ? at<T>(i) : nullptr; }
  // The tile where it lies, if it can be multiplied there: whole, without gaps, and of the operands' type; else null.
  template <class P> const typename P::Word* in_place() const {
    const bool fits = neighbours && n == key_tile && x.dtype == P::dtype;
    return fits ? reinterpret_cast<const typename P::Word*>(row<typename P::Value>(0)) : nullptr;
  }
  // Rows of 8 bits as f32, `step` apart, the rest zeros; false if the tile is of another type.
  bool unpack(int64_t step, float* out) const {
    if (x.dtype != DType::row_q8) return false;
    memset(out, 0, key_tile * step * sizeof(float));
    for (int64_t i = 0; i < n; i++) unpack_q8(x.as<char>() + slot[i] * q8_row_bytes(stride), head_offset, dim, out + i * step);
    return true;
  }
};

// The tile as the left operand of products over the head dim, m being its keys; copied to `copy` if it must be.
template <class P> Words<typename P::Word> words_along_dim(const TileRows& tile, typename P::Word* copy) {
  if (const auto* words = tile.in_place<P>()) return {words, tile.stride / P::values, 1};
  const int64_t step = round_up(tile.dim / P::values, VL);
  if constexpr (P::values == 1) if (tile.unpack(step, copy)) return {copy, step, 1};
  with_word_type<P>(tile.x.dtype, [&](auto type) {
    pack_rows<P>([&](int64_t i) { return tile.row<decltype(type)>(i); }, key_tile, tile.dim, step, copy);
  });
  return {copy, step, 1};
}

// The tile as the left operand of products over its keys, m being the head dim.
template <class P> Words<typename P::Word> words_along_keys(const TileRows& tile, typename P::Word* copy) {
  const auto* words = tile.in_place<P>();
  if (words && P::values == 1 && tile.dim % product_rows == 0) return {words, 1, tile.stride};
  const int64_t step = round_up(tile.dim, VL);
  if constexpr (P::values == 1) if (tile.unpack(step, copy)) return {copy, 1, step};
  with_word_type<P>(tile.x.dtype, [&](auto type) {
    pack_row_words<P>([&](int64_t i) { return tile.row<decltype(type)>(i); }, key_tile, tile.dim, step, copy);
  });
  return {copy, 1, step};
}

// The transposed of columns [0, VL) of x (`dim` rows of `step` floats) times factor, lane by lane, to the rows that row(lane) points to.
template <class Row> void unpack_columns(const float* x, int64_t step, int64_t dim, vf factor, Row&& row) {
  for (int64_t e = 0; e < dim; e += VL) {
    vf square[VL];
    for (int j = 0; j < VL; j++) square[j] = e + j < dim ? load(x + (e + j) * step) * factor : zero();
    transpose(square);
    for (int j = 0; j < VL; j++) {
      auto* to = row(j);
      if (to == nullptr) continue;
      if (dim - e >= VL) store(to + e, square[j]);
      else store(to + e, square[j], static_cast<int>(dim - e));
    }
  }
}

}  // namespace cria::CRIA_ISA
