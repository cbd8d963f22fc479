// The gradient of attention (arXiv:2307.08691): weights are recomputed from the logsumexp tile by tile, with delta = sum(dout * out) of each row
//   dv = weights^T dout,  dscores = weights * (dout v^T - delta),  dq = scale * dscores k,  dk = scale * dscores^T q.
// One thread does all of a segment's kv head: dq is summed over key tiles and dk, dv over blocks of rows, always in the same order.
#include "attention-tiles.h"

namespace cria::CRIA_ISA {
namespace {

constexpr int tile_blocks = 4;  // blocks of rows that share one walk over the keys

struct Inputs {
  const Heads& heads;
  const Segments& segments;
  const View &dout, &q, &k, &v, &out, &logsumexp, &dq, &dk, &dv;
};

// Up to block_rows rows. Operands with the head dim first are [dim][width], those with rows first [width][step] of row words.
template <class P> struct Block {
  int64_t begin, rows, width, first_limit, last_limit;
  typename P::Word *q, *q_rows, *dout, *dout_rows;
  float *dq, *log2_sum, *delta;  // dq [dim][width]; log2_sum, delta per row
  int32_t* limit;                // per row: the last key it sees
};

template <class P> struct Buffers {
  using Word = typename P::Word;
  using Value = typename P::Value;
  int64_t step;                                   // the head dim in whole vectors
  int64_t* slots;
  Word *keys, *values, *keys_along;               // copies of a tile
  float *weights, *dk, *dv;                       // weights [key_tile][width]; dk, dv [keys][step]
  Value *left_weights, *left_dscores;             // [key_tile][width], read as row words
  Word* dscores;                                  // [key_tile / values][width]
  Block<P> block[tile_blocks];
};

template <class P> Buffers<P> lay_out(Scratch& scratch, int64_t dim, int64_t keys) {
  using Word = typename P::Word;
  using Value = typename P::Value;
  Buffers<P> buffers;
  const int64_t step = buffers.step = round_up(dim, VL), scores = key_tile * block_rows;
  buffers.slots = scratch.take<int64_t>(key_tile);
  for (Word** copy : {&buffers.keys, &buffers.values, &buffers.keys_along}) *copy = scratch.take<Word>(key_tile * step);
  for (float** sum : {&buffers.dk, &buffers.dv}) *sum = scratch.take<float>(round_up(keys, key_tile) * step);
  buffers.weights = scratch.take<float>(scores);
  buffers.dscores = scratch.take<Word>(scores);
  const bool same = P::values == 1;  // then the f32 weights and scores are operands already
  buffers.left_weights = same ? reinterpret_cast<Value*>(buffers.weights) : scratch.take<Value>(scores);
  buffers.left_dscores = same ? reinterpret_cast<Value*>(buffers.dscores) : scratch.take<Value>(scores);
  for (Block<P>& block : buffers.block) {
    for (Word** operand : {&block.q, &block.q_rows, &block.dout, &block.dout_rows}) *operand = scratch.take<Word>(step * block_rows);
    block.dq = scratch.take<float>(step * block_rows);
    block.log2_sum = scratch.take<float>(block_rows);
    block.delta = scratch.take<float>(block_rows);
    block.limit = scratch.take<int32_t>(block_rows);
  }
  return buffers;
}

float dot_row(const View& a, const View& b, int64_t at, int64_t dim) {
  vf total = zero();
  with_float(a.dtype, [&](auto type_a) {
    with_float(b.dtype, [&](auto type_b) {
      const auto* x = a.as<decltype(type_a)>() + at;
      const auto* y = b.as<decltype(type_b)>() + at;
      for_vectors(0, dim, [&](int64_t e, auto lanes) { total = fma(load(x + e, lanes), load(y + e, lanes), total); });
    });
  });
  return sum(total);
}

template <class P> void open_block(const Inputs& in, const Segment& segment, int64_t kv_head, int64_t begin, int64_t step, Block<P>& block) {
  const Heads& heads = in.heads;
  const int64_t rows = segment.queries * heads.group;
  block.begin = begin;
  block.rows = least(block_rows, rows - begin);
  block.width = round_up(block.rows, VL);
  const auto pack = [&](const View& x, typename P::Word* columns, typename P::Word* in_rows) {
    with_word_type<P>(x.dtype, [&](auto type) {
      const auto* values = x.as<decltype(type)>();
      const auto row = [&](int64_t i) { return i < block.rows ? values + heads.row(segment.first, kv_head, begin + i) : nullptr; };
      pack_columns<P>(row, block.width, heads.dim, columns);
      pack_row_words<P>(row, block.width, heads.dim, step, in_rows);
    });
  };
  pack(in.q, block.q, block.q_rows);
  pack(in.dout, block.dout, block.dout_rows);
  memset(block.dq, 0, step * block.width * sizeof(float));
  for (int64_t i = 0; i < block.width; i++) {
    const bool real = i < block.rows;  // the others only fill a vector: an infinite sum makes their weights 0
    const int64_t at = heads.row(segment.first, kv_head, begin + (real ? i : 0));
    block.limit[i] = static_cast<int32_t>(segment.keys - segment.queries + least(begin + i, rows - 1) / heads.group);
    block.log2_sum[i] = real ? in.logsumexp.as<float>()[at / heads.dim] * log2_e : __builtin_inff();
    block.delta[i] = real ? dot_row(in.dout, in.out, at, heads.dim) : 0;
  }
  block.first_limit = block.limit[0];
  block.last_limit = block.limit[block.width - 1];
}

// Weights of the first `count` keys of the tile at `key`, and the gradients of their scores.
template <class P, int N>
void grad_scores(const Heads& heads, Words<typename P::Word> keys, Words<typename P::Word> values, int64_t key, int64_t count,
                 const Block<P>& block, Buffers<P>& buffers) {
  const int64_t depth = heads.dim / P::values;
  const auto start = [](int, int) { return zero(); };
  const vf log2_scale = splat(heads.log2_scale);
  for (int64_t k = 0; k < count; k += product_rows) {
    const auto take_weights = [&](int i, vf (&sums)[N]) {
      const vi position = splat(static_cast<int32_t>(key + k) + i);
#pragma GCC unroll 4
      for (int j = 0; j < N; j++) {
        const int64_t at = ((k + i) * N + j) * VL;
        const vf weight = exp2_below(fma(sums[j], log2_scale, -load(block.log2_sum + j * VL)));
        const vf seen = (load(block.limit + j * VL) >= position) ? weight : zero();
        store(buffers.weights + at, seen);
        if constexpr (P::values > 1) P::store_values(buffers.left_weights + at, seen);
      }
    };
    product_block<P, N>(depth, {keys.at + k * keys.step_m, keys.step_m, 1}, block.q, N * VL, start, take_weights);
  }
  for (int64_t k = 0; k < count; k += product_rows) {
    vf word[N][2];  // gradients of two neighbouring keys
    const auto take_gradients = [&](int i, vf (&sums)[N]) {
#pragma GCC unroll 4
      for (int j = 0; j < N; j++) {
        const int64_t at = ((k + i) * N + j) * VL;
        word[j][i % P::values] = load(buffers.weights + at) * (sums[j] - load(block.delta + j * VL));
        if constexpr (P::values > 1) P::store_values(buffers.left_dscores + at, word[j][i % P::values]);
        if ((i + 1) % P::values == 0) P::store_word(buffers.dscores + ((k + i) / P::values * N + j) * VL, word[j]);
      }
    };
    product_block<P, N>(depth, {values.at + k * values.step_m, values.step_m, 1}, block.dout, N * VL, start, take_gradients);
  }
}

// sums[key] += left[key][rows] * right[rows], for `count` keys and N vectors of the head dim.
template <class P, int N>
void add_over_rows(int64_t count, int64_t width, const typename P::Value* left, const typename P::Word* right, int64_t step, float* sums) {
  const int64_t depth = width / P::values;
  for (int64_t k = 0; k < count; k += product_rows) {
    float* block = sums + k * step;
    const Words<typename P::Word> words{reinterpret_cast<const typename P::Word*>(left) + k * depth, depth, 1};
    product_block<P, N>(depth, words, right, step, [&](int i, int j) { return load(block + i * step + j * VL); }, [&](int i, vf (&total)[N]) {
#pragma GCC unroll 4
      for (int j = 0; j < N; j++) store(block + i * step + j * VL, total[j]);
    });
  }
}

template <class P>
void add_to_keys(int64_t count, int64_t width, const typename P::Value* left, const typename P::Word* right, int64_t step, float* sums) {
  int64_t e = 0;
  for (; e + 2 * VL <= step; e += 2 * VL) add_over_rows<P, 2>(count, width, left, right + e, step, sums + e);
  if (e < step) add_over_rows<P, 1>(count, width, left, right + e, step, sums + e);
}

// dq += dscores * keys over the first `count` keys.
template <class P, int N>
void add_to_queries(const Heads& heads, Words<typename P::Word> keys, int64_t count, const typename P::Word* dscores, float* dq) {
  for (int64_t e = 0; e < heads.dim; e += product_rows) {
    float* block = dq + e * N * VL;
    product_block<P, N>((count + P::values - 1) / P::values, {keys.at + e, 1, keys.step_k}, dscores, N * VL,
                        [&](int i, int j) { return load(block + (i * N + j) * VL); }, [&](int i, vf (&total)[N]) {
#pragma GCC unroll 4
      for (int j = 0; j < N; j++) store(block + (i * N + j) * VL, total[j]);
    });
  }
}

// A tile of keys as the three left operands.
template <class P> struct KeyTile {
  Words<typename P::Word> keys, values, keys_along;
  int64_t key;
  int n;
};

template <class P, int N> void grad_block(const Heads& heads, const KeyTile<P>& tile, const Block<P>& block, Buffers<P>& buffers) {
  const int64_t count = least(tile.n, block.last_limit + 1 - tile.key), at = tile.key * buffers.step;
  if (count <= 0) return;
  grad_scores<P, N>(heads, tile.keys, tile.values, tile.key, count, block, buffers);
  add_to_keys<P>(count, block.width, buffers.left_weights, block.dout_rows, buffers.step, buffers.dv + at);
  add_to_keys<P>(count, block.width, buffers.left_dscores, block.q_rows, buffers.step, buffers.dk + at);
  add_to_queries<P, N>(heads, tile.keys_along, count, buffers.dscores, block.dq);
}

template <class P> void close_block(const Inputs& in, const Segment& segment, int64_t kv_head, const Block<P>& block) {
  with_float(in.dq.dtype, [&](auto type) {
    auto* dq = in.dq.as<decltype(type)>();
    for (int64_t i = 0; i < block.width; i += VL)
      unpack_columns(block.dq + i, block.width, in.heads.dim, splat(in.heads.scale), [&](int64_t j) {
        return i + j < block.rows ? dq + in.heads.row(segment.first, kv_head, block.begin + i + j) : nullptr;
      });
  });
}

// Writes sums * factor to the slots of the segment's keys.
void close_keys(const Inputs& in, const Segment& segment, int64_t kv_head, const float* sums, int64_t step, float factor, const View& out, int64_t* slots) {
  const int64_t dim = in.heads.dim;
  for (int64_t key = 0; key < segment.keys; key += key_tile) {
    const int n = static_cast<int>(least(key_tile, segment.keys - key));
    in.segments.slots(segment, key, n, slots);
    with_float(out.dtype, [&](auto type) {
      for (int i = 0; i < n; i++) {
        auto* to = out.as<decltype(type)>() + (slots[i] * in.heads.kv_count + kv_head) * dim;
        const float* from = sums + (key + i) * step;
        for_vectors(0, dim, [&](int64_t e, auto lanes) { store(to + e, load(from + e, lanes) * splat(factor), lanes); });
      }
    });
  }
}

template <class P> void grad_head(const Inputs& in, const Segment& segment, int64_t kv_head, Buffers<P>& buffers) {
  const Heads& heads = in.heads;
  const int64_t rows = segment.queries * heads.group, stride = heads.kv_count * heads.dim, offset = kv_head * heads.dim;
  for (float* sums : {buffers.dk, buffers.dv}) memset(sums, 0, round_up(segment.keys, key_tile) * buffers.step * sizeof(float));
  for (int64_t begin = 0; begin < rows;) {
    int blocks = 0;
    for (; blocks < tile_blocks && begin < rows; begin += block_rows)
      open_block<P>(in, segment, kv_head, begin, buffers.step, buffers.block[blocks++]);
    for (int64_t key = 0; key <= buffers.block[blocks - 1].last_limit; key += key_tile) {
      const int n = static_cast<int>(least(key_tile, segment.keys - key));
      const bool neighbours = in.segments.slots(segment, key, n, buffers.slots);
      const TileRows k{in.k, stride, offset, heads.dim, buffers.slots, n, neighbours}, v{in.v, stride, offset, heads.dim, buffers.slots, n, neighbours};
      const KeyTile<P> tile{words_along_dim<P>(k, buffers.keys), words_along_dim<P>(v, buffers.values), words_along_keys<P>(k, buffers.keys_along), key, n};
      for (int i = 0; i < blocks; i++) {
        if (buffers.block[i].width == block_rows) grad_block<P, 2>(heads, tile, buffers.block[i], buffers);
        else grad_block<P, 1>(heads, tile, buffers.block[i], buffers);
      }
    }
    for (int i = 0; i < blocks; i++) close_block<P>(in, segment, kv_head, buffers.block[i]);
  }
  close_keys(in, segment, kv_head, buffers.dk, buffers.step, heads.scale, in.dk, buffers.slots);
  close_keys(in, segment, kv_head, buffers.dv, buffers.step, 1, in.dv, buffers.slots);
}

template <class P> void grad(const Inputs& in, Team& team) {
  int64_t most_keys = 0;
  for (int64_t i = 0; i < in.segments.count(); i++) most_keys = -least(-most_keys, -in.segments.at(i).keys);
  Scratch measure;
  lay_out<P>(measure, in.heads.dim, most_keys);
  Scratch scratch{static_cast<char*>(team.scratch(measure.used))};
  Buffers<P> buffers = lay_out<P>(scratch, in.heads.dim, most_keys);
  each_part(team, in.segments, [&](const Segment& segment) { return segment.keys > 0 ? in.heads.kv_count : 0; },
            [&](const Segment& segment, int64_t part) { grad_head<P>(in, segment, part, buffers); });
}

}  // namespace

void op::attentionGrad(const Command& command, Team& team) {
  const View *from = command.in, *to = command.out;
  const Heads heads(command, from[1], from[2]);
  const Segments segments(from[6], from[7], heads, team);
  const Inputs in{heads, segments, from[0], from[1], from[2], from[3], from[4], from[5], to[0], to[1], to[2]};
  const bool queries_missing = segments.queries() < heads.tokens, keys_missing = segments.keys() < heads.slots;
  if (queries_missing) clear(in.dq, team);
  if (keys_missing) clear(in.dk, team), clear(in.dv, team);
  if (queries_missing || keys_missing) team.barrier();
  grad<F32Words>(in, team);
}

}  // namespace cria::CRIA_ISA
