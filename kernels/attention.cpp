// Attention, causal and grouped, over keys and values in paged slots, in one pass with online softmax (arXiv:2205.14135), so that memory does
// not grow with the square of the context. A row's result is the same bits for few rows (attention-few.h) and for many (here): scores are one
// chain over the head dim, tiles of keys start at fixed positions, a tile's weights are summed in one order, values are one chain over the keys.
#include "attention-few.h"

namespace cria::CRIA_ISA {
namespace {

constexpr int tile_blocks = 4;
constexpr int tile_rows = tile_blocks * block_rows;  // rows that share one walk over the keys

struct Inputs {
  const Heads& heads;
  const Segments& segments;
  const View &q, &k, &v, &out, &logsumexp;
};

// One kv head of one segment.
struct Head {
  Segment segment;
  int64_t kv_head;
};

// Up to block_rows rows: operand q and result o are [dim][width], width being the rows rounded up to whole vectors.
template <class P> struct Block {
  int64_t begin, rows, width;
  int64_t first_limit, last_limit;  // the last keys that its first and last row see
  typename P::Word* q;
  float *o, *top, *total;  // top, total per row: the largest score so far and the sum of weights
  int32_t* limit;          // per row: the last key it sees
};

template <class P> struct Buffers {
  typename P::Word *keys, *values, *weights;
  float* scores;
  int64_t* slots;
  Block<P> block[tile_blocks];
};

template <class P> Buffers<P> lay_out(Scratch& scratch, int64_t dim) {
  using Word = typename P::Word;
  const int64_t padded_dim = round_up(dim, VL);
  Buffers<P> buffers;
  buffers.slots = scratch.take<int64_t>(2 * key_tile);
  buffers.keys = scratch.take<Word>(key_tile * padded_dim);
  buffers.values = scratch.take<Word>(key_tile * padded_dim);
  buffers.scores = scratch.take<float>(key_tile * block_rows);
  buffers.weights = P::values == 1 ? reinterpret_cast<Word*>(buffers.scores) : scratch.take<Word>(key_tile * block_rows);
  for (Block<P>& block : buffers.block) {
    block.q = scratch.take<Word>(padded_dim * block_rows);
    block.o = scratch.take<float>(padded_dim * block_rows);
    block.top = scratch.take<float>(block_rows);
    block.total = scratch.take<float>(block_rows);
    block.limit = scratch.take<int32_t>(block_rows);
  }
  return buffers;
}

template <class P> void open_block(const Inputs& in, const Head& head, int64_t begin, Block<P>& block) {
  const Heads& heads = in.heads;
  const Segment& segment = head.segment;
  const int64_t rows = segment.queries * heads.group;
  block.begin = begin;
  block.rows = least(block_rows, rows - begin);
  block.width = round_up(block.rows, VL);
  with_word_type<P>(in.q.dtype, [&](auto type) {
    const auto* q = in.q.as<decltype(type)>();
    const auto row = [&](int64_t i) { return i < block.rows ? q + heads.row(segment.first, head.kv_head, begin + i) : nullptr; };
    pack_columns<P>(row, block.width, heads.dim, block.q);
  });
  memset(block.o, 0, round_up(heads.dim, VL) * block.width * sizeof(float));
  for (int64_t i = 0; i < block.width; i++) {  // rows that only fill a vector see what the last one sees
    block.limit[i] = static_cast<int32_t>(segment.keys - segment.queries + least(begin + i, rows - 1) / heads.group);
    block.top[i] = -__builtin_inff();
    block.total[i] = 0;
  }
  block.first_limit = block.limit[0];
  block.last_limit = block.limit[block.width - 1];
}

// Scores of the block's rows with the first `count` keys of the tile at `key`; the rows' tops rise with them, and the factors by which what
// they have gathered shrinks go to `shrink`.
template <class P, int N>
void score_keys(const Heads& heads, Words<typename P::Word> keys, int64_t key, int64_t count, Block<P>& block, float* scores, vf (&shrink)[N]) {
  const vf log2_scale = splat(heads.log2_scale), hidden = splat(-__builtin_inff());
  vf top[N];
  for (int j = 0; j < N; j++) top[j] = load(block.top + j * VL);
  for (int64_t k = 0; k < count; k += product_rows) {
    const Words<typename P::Word> left{keys.at + k * keys.step_m, keys.step_m, 1};
    product_block<P, N>(heads.dim / P::values, left, block.q, N * VL, [](int, int) { return zero(); }, [&](int i, vf (&sums)[N]) {
      const vi position = splat(static_cast<int32_t>(key + k) + i);
#pragma GCC unroll 4
      for (int j = 0; j < N; j++) {
        const vf score = (load(block.limit + j * VL) >= position) ? sums[j] * log2_scale : hidden;
        top[j] = max(top[j], score);
        store(scores + (k + i) * N * VL + j * VL, score);
      }
    });
  }
  for (int j = 0; j < N; j++) {
    shrink[j] = exp2_below(load(block.top + j * VL) - top[j]);
    store(block.top + j * VL, top[j]);
  }
}

// Scores to weights, which are added to the rows' totals; hidden keys weigh exactly 0.
template <class P, int N> void weigh_keys(int64_t count, Block<P>& block, const float* scores, typename P::Word* weights, const vf (&shrink)[N]) {
  for (int j = 0; j < N; j++) {
    vf partial[partial_sums];
    for (vf& sum : partial) sum = zero();
    const vf top = load(block.top + j * VL);
    for (int64_t k = 0; k < count; k += product_rows) {
      vf weight[product_rows];
#pragma GCC unroll 8
      for (int i = 0; i < product_rows; i++) {
        weight[i] = exp2_below(load(scores + (k + i) * N * VL + j * VL) - top);
        partial[(k + i) % partial_sums] = partial[(k + i) % partial_sums] + weight[i];
      }
#pragma GCC unroll 8
      for (int i = 0; i < product_rows; i += P::values) P::store_word(weights + (k + i) / P::values * N * VL + j * VL, weight + i);
    }
    store(block.total + j * VL, fma(load(block.total + j * VL), shrink[j], fold(partial)));
  }
}

// Adds the first `count` weighted values to what the rows have gathered. The first `open` keys are seen by all rows; the others are blanked
// out lane by lane, so that not even an infinite value shows through a weight of 0.
template <class P, int N>
void add_values(const Heads& heads, Words<typename P::Word> values, int64_t key, int64_t count, int64_t open, Block<P>& block,
                const typename P::Word* weights, const vf (&shrink)[N]) {
  const int64_t open_words = open / P::values, words = (count + P::values - 1) / P::values;
  for (int64_t e = 0; e < heads.dim; e += product_rows) {
    float* o = block.o + e * N * VL;
    const auto finish = [&](int i, vf (&sums)[N]) {
#pragma GCC unroll 4
      for (int j = 0; j < N; j++) store(o + (i * N + j) * VL, sums[j]);
    };
    const auto shrunk = [&](int i, int j) { return load(o + (i * N + j) * VL) * shrink[j]; };
    product_block<P, N>(open_words, {values.at + e, 1, values.step_k}, weights, N * VL, shrunk, finish);
    if (words == open_words) continue;
    const auto kept = [&](int i, int j) { return load(o + (i * N + j) * VL); };
    const auto seen = [&](int64_t k, int j) { return P::up_to(load(block.limit + j * VL) - splat(static_cast<int32_t>(key + (open_words + k) * P::values))); };
    const Words<typename P::Word> rest{values.at + e + open_words * values.step_k, 1, values.step_k};
    product_block<P, N>(words - open_words, rest, weights + open_words * N * VL, N * VL, kept, finish, seen);
  }
}

template <class P, int N>
void attend_block(const Heads& heads, Words<typename P::Word> keys, Words<typename P::Word> values, int64_t key, int64_t n, Buffers<P>& buffers, Block<P>& block) {
  const int64_t count = least(n, block.last_limit + 1 - key);
  if (count <= 0) return;
  const int64_t open = block.first_limit + 1 < key ? 0 : least(count, block.first_limit + 1 - key);
  vf shrink[N];
  score_keys<P, N>(heads, keys, key, count, block, buffers.scores, shrink);
  weigh_keys<P, N>(count, block, buffers.scores, buffers.weights, shrink);
  add_values<P, N>(heads, values, key, count, open, block, buffers.weights, shrink);
}

CRIA_INLINE float log_sum_exp(float top, float total) { return fma(top, ln_2, __builtin_logf(total)); }

template <class P> void close_block(const Inputs& in, const Head& head, const Block<P>& block) {
  const Heads& heads = in.heads;
  with_float(in.out.dtype, [&](auto type) {
    auto* out = in.out.as<decltype(type)>();
    for (int64_t i = 0; i < block.width; i += VL)
      unpack_columns(block.o + i, block.width, heads.dim, splat(1.0f) / load(block.total + i), [&](int64_t j) {
        return i + j < block.rows ? out + heads.row(head.segment.first, head.kv_head, block.begin + i + j) : nullptr;
      });
  });
  float* logsumexp = in.logsumexp.as<float>();
  for (int64_t i = 0; i < block.rows; i++)
    logsumexp[heads.row(head.segment.first, head.kv_head, block.begin + i) / heads.dim] = log_sum_exp(block.top[i], block.total[i]);
}

// Rows [begin, begin + tile_rows) of one head.
template <class P> void attend_many(const Inputs& in, const Head& head, int64_t begin, Buffers<P>& buffers) {
  const Heads& heads = in.heads;
  const int64_t rows = head.segment.queries * heads.group, stride = heads.kv_count * heads.dim, offset = head.kv_head * heads.dim;
  int blocks = 0;
  for (; blocks < tile_blocks && begin < rows; begin += block_rows) open_block<P>(in, head, begin, buffers.block[blocks++]);
  const int64_t last_limit = buffers.block[blocks - 1].last_limit;
  for (int64_t key = 0; key <= last_limit; key += key_tile) {
    const int n = static_cast<int>(least(key_tile, head.segment.keys - key));
    const bool neighbours = in.segments.slots(head.segment, key, n, buffers.slots);
    const auto keys = words_along_dim<P>({in.k, stride, offset, heads.dim, buffers.slots, n, neighbours}, buffers.keys);
    const auto values = words_along_keys<P>({in.v, stride, offset, heads.dim, buffers.slots, n, neighbours}, buffers.values);
    for (int i = 0; i < blocks; i++) {
      Block<P>& block = buffers.block[i];
      if (block.width == block_rows) attend_block<P, 2>(heads, keys, values, key, n, buffers, block);
      else attend_block<P, 1>(heads, keys, values, key, n, buffers, block);
    }
  }
  for (int i = 0; i < blocks; i++) close_block<P>(in, head, buffers.block[i]);
}

void open_few(const Inputs& in, const Head& head, FewRows& few) {
  const Heads& heads = in.heads;
  few.rows = head.segment.queries * heads.group;
  for (int64_t r = 0; r < few.rows; r++) few.top[r] = -__builtin_inff(), few.total[r] = 0;
  memset(few.o, 0, few.rows * few.step * sizeof(float));
  with_float(in.q.dtype, [&](auto type) {
    const auto* q = in.q.as<decltype(type)>();
    pack_rows<F32Words>([&](int64_t r) { return q + heads.row(head.segment.first, head.kv_head, r); }, few.rows, heads.dim, few.step, few.q);
  });
}

void close_few(const Inputs& in, const Head& head, const FewRows& few) {
  const Heads& heads = in.heads;
  for (int64_t r = 0; r < few.rows; r++) {
    const int64_t at = heads.row(head.segment.first, head.kv_head, r);
    const vf factor = splat(1.0f / few.total[r]);
    with_float(in.out.dtype, [&](auto type) {
      auto* out = in.out.as<decltype(type)>() + at;
      for_vectors(0, heads.dim, [&](int64_t e, auto lanes) { store(out + e, load(few.o + r * few.step + e) * factor, lanes); });
    });
    in.logsumexp.as<float>()[at / heads.dim] = log_sum_exp(few.top[r], few.total[r]);
  }
}

// All rows of kv heads [begin, end) of a segment, few as they are; head by head within a tile, since whole slots are read fastest.
template <class T> void attend_few(const Inputs& in, const Segment& segment, int64_t begin, int64_t end, int64_t* slots, FewRows* few) {
  const Heads& heads = in.heads;
  for (int64_t head = begin; head < end; head++) open_few(in, {segment, head}, few[head]);
  const auto *keys = in.k.as<const char>(), *values = in.v.as<const char>();
  const int64_t head_bytes = std::is_same_v<T, q8> ? q8_row_bytes(heads.dim) : heads.dim * static_cast<int64_t>(sizeof(T));
  const int64_t slot_bytes = heads.kv_count * head_bytes;
  int64_t *offsets = slots, *next_offsets = slots + key_tile;
  int n = in.segments.whole_tile(segment, 0, slot_bytes, offsets);
  for (int64_t key = 0; key < segment.keys; key += key_tile) {
    const int next_n = in.segments.whole_tile(segment, key + key_tile, slot_bytes, next_offsets);
    if (next_n == 0) next_offsets = offsets;
    Fetcher next{keys + begin * head_bytes, values + begin * head_bytes, next_offsets, (end - begin) * head_bytes};
    for (int64_t head = begin; head < end; head++)
      attend_tile_few<T>(few[head], heads, segment, key, n, {keys + head * head_bytes, offsets}, {values + head * head_bytes, offsets}, next);
    std::swap(offsets, next_offsets);
    n = next_n;
  }
  for (int64_t head = begin; head < end; head++) close_few(in, {segment, head}, few[head]);
}

template <class P> void attend(const Inputs& in, Team& team) {
  const Heads& heads = in.heads;
  Scratch measure;
  lay_out<P>(measure, heads.dim);
  lay_out_few(measure, heads.dim, heads.kv_count, nullptr);
  FewRows* few = nullptr;
  measure.take<FewRows>(heads.kv_count);
  Scratch scratch{static_cast<char*>(team.scratch(measure.used))};
  Buffers<P> buffers = lay_out<P>(scratch, heads.dim);
  few = scratch.take<FewRows>(heads.kv_count);
  lay_out_few(scratch, heads.dim, heads.kv_count, few);

  // With segments enough for all threads one of them reads whole slots; else they share the kv heads.
  const int64_t few_parts = in.segments.count() >= 4 * team.size ? 1 : least(heads.kv_count, team.size);
  const bool has_8_bits = in.k.dtype == DType::row_q8;
  const bool heads_are_apart = !has_8_bits || heads.dim % row_block == 0;
  const auto is_few = [&](const Segment& segment) { return P::values == 1 && heads_are_apart && segment.queries * heads.group <= few_rows; };
  const auto tiles = [&](const Segment& segment) { return (segment.queries * heads.group + tile_rows - 1) / tile_rows; };
  const auto parts = [&](const Segment& segment) {
    if (segment.queries == 0) return int64_t{0};
    return is_few(segment) ? few_parts : tiles(segment) * heads.kv_count;
  };
  each_part(team, in.segments, parts, [&](const Segment& segment, int64_t part) {
    if (is_few(segment)) {
      const int64_t begin = heads.kv_count * part / few_parts, end = heads.kv_count * (part + 1) / few_parts;
      if (has_8_bits) attend_few<q8>(in, segment, begin, end, buffers.slots, few);
      with_type(in.k.dtype, [&](auto type) { attend_few<decltype(type)>(in, segment, begin, end, buffers.slots, few); });
    } else {  // the last rows, which see most keys, first
      const int64_t tile = tiles(segment) - 1 - part / heads.kv_count;
      attend_many<P>(in, {segment, part % heads.kv_count}, tile * tile_rows, buffers);
    }
  });
}

}  // namespace

void op::attention(const Command& command, Team& team) {
  const Heads heads(command, command.in[0], command.in[1]);
  const Segments segments(command.in[3], command.in[4], heads, team);
  const Inputs in{heads, segments, command.in[0], command.in[1], command.in[2], command.out[0], command.out[1]};
  if (segments.queries() < heads.tokens) {
    clear(in.out, team);
    clear(in.logsumexp, team);
    team.barrier();
  }
  attend<F32Words>(in, team);
}

}  // namespace cria::CRIA_ISA
