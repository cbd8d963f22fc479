// tokenLogProbs and its gradient: the logits of some rows at a time, softmax over each row in f32. Rows whose target is negative are left
// out before anything is computed. T tokens, D model dim, V vocabulary, R rows at a time.
#include <cmath>

#include "matrix-product.h"
#include "operators.h"

namespace cria::CRIA_ISA {

namespace {

// The workspace, cut into pieces; src/runtime/native-lowering.ts adds up the same ones.
struct Cutter {
  char* next;
  char* end;
  explicit Cutter(const View& workspace) : next(workspace.as<char>()), end(next + workspace.bytes) {}
  template <class T> T* take(int64_t count) {
    char* piece = next;
    next += (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    return reinterpret_cast<T*>(piece);
  }
  View rest() const {
    View view;
    view.data = next;
    view.bytes = end - next;
    return view;
  }
};

// A weight as right operand: packed once where there is room for all of it, else piece by piece for every product.
struct Weight {
  Operand operand;
  DType arithmetic;
  View room;

  int64_t bytes() const { return (operand.lines + panel_rows - 1) / panel_rows * panel_bytes(arithmetic, operand.depth); }
  bool fits() const { return bytes() <= room.bytes; }
  void pack(Team& team) const {
    if (fits()) pack_panels(team, arithmetic, operand, room.data);
  }
  void multiply_by(Team& team, const Operand& a, const Result& c) const {
    if (fits()) multiply_packed(team, arithmetic, a, room.data, operand.lines, c, View{});
    else multiply(team, arithmetic, a, operand, c, room);
  }
};

// What both kernels work on.
struct Loss {
  DType arithmetic;
  const View &x, &weight, &targets;
  int64_t T, D, V, R;
  int32_t* count;  // of the rows that have a target
  int32_t* rows;   // their numbers
  char* chosen;    // R of these rows of x
  float* logits;   // [R, V]

  Loss(const Command& command, int first_input, Cutter& cutter)
      : arithmetic(command.attr[0] != 0 ? DType::bf16 : DType::f32),
        x(command.in[first_input]), weight(command.in[first_input + 1]), targets(command.in[first_input + 2]),
        T(x.dim[0]), D(x.dim[1]), V(weight.dim[0]), R(static_cast<int64_t>(command.attr[1])),
        count(cutter.take<int32_t>(1)), rows(cutter.take<int32_t>(T)), chosen(cutter.take<char>(R * D * 4)), logits(cutter.take<float>(R * V)) {}

  int64_t value_bytes() const { return x.dtype == DType::f32 ? 4 : 2; }
  Operand weight_by_row() const { return {weight.data, weight.dtype, V, D, D, true}; }
  Operand weight_by_column() const { return {weight.data, weight.dtype, D, V, D, false}; }

  void choose_rows(Team& team) const {
    if (team.id != 0) return;
    int32_t n = 0;
    for (int64_t row = 0; row < T; row++) {
      const int32_t target = targets.as<int32_t>()[row];
      if (target >= V) team.fail("tokenLogProbs: a target id is not in the vocabulary");
      else if (target >= 0) rows[n++] = static_cast<int32_t>(row);
    }
    *count = n;
  }

  int64_t rows_from(int64_t first) const { return *count - first < R ? *count - first : R; }

  // Copies the chosen rows from `first` on beside each other and multiplies them by the weight. Ends with a barrier.
  void compute_logits(Team& team, const Weight& weights, int64_t first, int64_t n) const {
    const int64_t bytes = D * value_bytes();
    team.each(n, [&](int64_t i) { memcpy(chosen + i * bytes, x.as<char>() + rows[first + i] * bytes, bytes); }, 16);
    team.barrier();
    weights.multiply_by(team, Operand{chosen, x.dtype, n, D, D, true}, Result{logits, DType::f32, V});
    team.barrier();
  }
};

float largest(const float* values, int64_t count) {
  vf most = splat(-INFINITY);
  for_vectors(0, count, [&](int64_t j, auto lanes) {
    if constexpr (std::is_same_v<decltype(lanes), AllLanes>) most = max(most, load(values + j));
    else for (int i = 0; i < lanes.n; i++) most = max(most, splat(values[j + i]));
  });
  return max_of(most);
}

// Replaces the values by e^(value - shift); gives their sum.
float exponentiate(float* values, int64_t count, float shift) {
  vf total = zero();
  const vf offset = splat(shift);
  for_vectors(0, count, [&](int64_t j, auto lanes) {
    vf y = exp(load(values + j, lanes) - offset);
    store(values + j, y, lanes);
    if constexpr (!std::is_same_v<decltype(lanes), AllLanes>) y = load(values + j, lanes);  // zeros beyond the end
    total += y;
  });
  return sum(total);
}

// The gradient of `scale` * log softmax(logits)[target] over exponentials that sum to `total`, written as T from the row's start on.
template <class T> void write_gradient(float* row, int64_t count, float total, float scale, int32_t target) {
  const vf factor = splat(-scale / total);
  T* out = reinterpret_cast<T*>(row);
  const T at_target = from_float<T>(scale - scale / total * row[target]);
  for_vectors(0, count, [&](int64_t j, auto lanes) { store(out + j, load(row + j, lanes) * factor, lanes); });
  out[target] = at_target;
}

void clear_rows(Team& team, const View& out) {
  const int64_t columns = out.rank > 1 ? out.dim[1] : 1;
  team.each(out.dim[0], [&](int64_t row) { memset(out.as<float>() + row * columns, 0, columns * sizeof(float)); }, 64);
}

}  // namespace

void op::tokenLogProbs(const Command& command, Team& team) {
  Cutter cutter(command.workspace);
  const Loss loss(command, 0, cutter);
  const Weight weights{loss.weight_by_row(), loss.arithmetic, cutter.rest()};
  clear_rows(team, command.out[0]);
  loss.choose_rows(team);
  weights.pack(team);
  team.barrier();
  for (int64_t first = 0; first < *loss.count; first += loss.R) {
    const int64_t n = loss.rows_from(first);
    loss.compute_logits(team, weights, first, n);
    team.each(n, [&](int64_t i) {
      float* row = loss.logits + i * loss.V;
      const int32_t token = loss.rows[first + i];
      const float shift = largest(row, loss.V), wanted = row[loss.targets.as<int32_t>()[token]];
      command.out[0].as<float>()[token] = wanted - shift - std::log(exponentiate(row, loss.V, shift));
    });
    team.barrier();
  }
}

void op::tokenLogProbsGrad(const Command& command, Team& team) {
  Cutter cutter(command.workspace);
  const Loss loss(command, 1, cutter);
  const int64_t D = loss.D, V = loss.V;
  float* dchosen = cutter.take<float>(loss.R * D);
  View packed_rows = cutter.rest();
  packed_rows.bytes = static_cast<int64_t>(command.attr[2]);
  cutter.take<char>(packed_rows.bytes);
  View half = cutter.rest();
  half.bytes = half.bytes / 128 * 64;
  const Weight by_row{loss.weight_by_row(), loss.arithmetic, half};
  half.data = half.as<char>() + half.bytes;
  const Weight by_column{loss.weight_by_column(), loss.arithmetic, half};
  const View &logp = command.out[0], &dx = command.out[1], &dweight = command.out[2];
  const float* addend = command.num_inputs > 4 ? command.in[4].as<float>() : nullptr;

  clear_rows(team, logp);
  clear_rows(team, dx);
  if (addend == nullptr) clear_rows(team, dweight);
  else if (addend != dweight.data) each_vector(team, V * D, [&](int64_t i, auto lanes) { store(dweight.as<float>() + i, load(addend + i, lanes), lanes); });
  loss.choose_rows(team);
  by_row.pack(team);
  by_column.pack(team);
  team.barrier();
  const DType gradient = loss.arithmetic;  // products in bf16 round it anyway
  const int64_t stride = gradient == DType::bf16 ? 2 * V : V;
  for (int64_t first = 0; first < *loss.count; first += loss.R) {
    const int64_t n = loss.rows_from(first);
    loss.compute_logits(team, by_row, first, n);
    team.each(n, [&](int64_t i) {
      float* row = loss.logits + i * V;
      const int32_t token = loss.rows[first + i], target = loss.targets.as<int32_t>()[token];
      const float shift = largest(row, V), wanted = row[target], total = exponentiate(row, V, shift);
      const float scale = command.in[0].as<float>()[token];
      logp.as<float>()[token] = wanted - shift - std::log(total);
      if (gradient == DType::bf16) write_gradient<bf16>(row, V, total, scale, target);
      else write_gradient<float>(row, V, total, scale, target);
    });
    team.barrier();
    by_column.multiply_by(team, Operand{loss.logits, gradient, n, V, stride, true}, Result{dchosen, DType::f32, D});
    // One sum over all tokens in order: it goes on from chunk to chunk in dweight, and begins with the addend.
    Result sums{dweight.data, DType::f32, D};
    sums.resume = true;
    multiply(team, loss.arithmetic, Operand{loss.logits, gradient, V, n, stride, false}, Operand{loss.chosen, loss.x.dtype, D, n, D, false}, sums, packed_rows);
    team.barrier();
    team.each(n, [&](int64_t i) { memcpy(dx.as<float>() + loss.rows[first + i] * D, dchosen + i * D, D * sizeof(float)); }, 16);
  }
}

}  // namespace cria::CRIA_ISA
