// Decodes programs with a check on every number, and runs them command by command.
#include "program.h"

#include <chrono>
#include <stdexcept>

#include "operators.h"
#include "pool.h"
#include "quantised.h"

namespace cria {

const OperatorInfo operator_infos[] = {
#define CRIA_INFO(name, inputs, outputs, attrs) {#name, inputs, outputs, attrs},
    CRIA_OPERATORS(CRIA_INFO)
#undef CRIA_INFO
};
const int num_operators = sizeof(operator_infos) / sizeof(operator_infos[0]);

namespace {

constexpr int64_t max_bytes = int64_t{1} << 50;
constexpr int64_t max_operands = 1 << 20;

int64_t bytes_per_value(DType dtype) {
  switch (dtype) {
    case DType::f32: case DType::i32: case DType::panel_f32: return 4;
    case DType::bf16: case DType::f16: case DType::panel_bf16: return 2;
    case DType::row_q8: case DType::panel_q8: case DType::panel_q4: case DType::panel_q4_min: case DType::panel_q4_k: return 0;  // not a whole number
  }
  return 0;
}

// Reads whole numbers out of the words.
class Reader {
 public:
  Reader(const double* words, size_t count) : next_(words), end_(words + count) {}
  bool done() const { return next_ == end_; }
  double number() {
    if (next_ == end_) throw std::invalid_argument("internal: the program ends in the middle of a command");
    return *next_++;
  }
  int64_t whole(int64_t low, int64_t high) {
    const double x = number();
    if (!(x >= static_cast<double>(low) && x <= static_cast<double>(high)) || x != static_cast<double>(static_cast<int64_t>(x)))
      throw std::invalid_argument("internal: a number of the program is out of range");
    return static_cast<int64_t>(x);
  }

 private:
  const double* next_;
  const double* end_;
};

int64_t quantised_bytes(const View& view) {
  int64_t bytes = 0;
  with_quantised(view.dtype, [&](auto panel) {
    using Panel = decltype(panel);
    const int64_t panels = (view.dim[0] + panel_rows - 1) / panel_rows;
    const int64_t blocks = (view.dim[1] + columns_of<Panel> - 1) / columns_of<Panel>;
    if (panels != 0 && blocks > max_bytes / panels) throw std::invalid_argument("internal: a tensor of the program is too large");
    bytes = panels * blocks * static_cast<int64_t>(sizeof(Panel));
  });
  return bytes;
}

// As q8_row_bytes in row-q8.h for each row.
int64_t row_q8_bytes(const View& view) {
  const int64_t blocks = (view.dim[1] + 31) / 32;
  if (view.rank != 2) throw std::invalid_argument("internal: rows of 8 bits are a matrix");
  if (view.dim[0] != 0 && blocks > max_bytes / 34 / view.dim[0]) throw std::invalid_argument("internal: a tensor of the program is too large");
  return view.dim[0] * blocks * 34;
}

}  // namespace

int64_t bytes_needed(const View& view) {
  if (is_quantised(view.dtype)) return quantised_bytes(view);
  if (view.dtype == DType::row_q8) return row_q8_bytes(view);
  int64_t count = 1;
  for (int i = 0; i < view.rank; i++) {
    int64_t size = view.dim[i];
    if (view.dtype >= DType::panel_f32 && i == 0) size = (size + panel_rows - 1) / panel_rows * panel_rows;
    if (view.dtype == DType::panel_bf16 && i == 1) size = (size + 1) / 2 * 2;
    if (size != 0 && count > max_bytes / size) throw std::invalid_argument("internal: a tensor of the program is too large");
    count *= size;
  }
  return count * bytes_per_value(view.dtype);
}

Program::Program(const double* words, size_t count, const Kernel* kernels) : kernels_(kernels) {
  Reader reader(words, count);
  while (!reader.done()) {
    Command command;
    command.op = static_cast<int32_t>(reader.whole(0, num_operators - 1));
    const OperatorInfo& info = operator_infos[command.op];
    if (kernels[command.op] == nullptr) throw std::invalid_argument(std::string("internal: there is no native kernel for ") + info.name);
    command.num_inputs = static_cast<int32_t>(reader.whole(info.min_inputs, max_operands));
    command.num_outputs = static_cast<int32_t>(reader.whole(info.outputs, info.outputs));
    const int64_t attrs = reader.whole(info.attrs, info.attrs);
    for (int64_t i = 0; i < attrs; i++) command.attr[i] = reader.number();
    for (int i = 0; i < command.num_inputs + command.num_outputs + 1; i++) {
      View view;
      Place place{reader.whole(-1, max_operands), 0};
      if (place.buffer >= 0) {
        place.offset = reader.whole(0, max_bytes);
        view.bytes = reader.whole(0, max_bytes);
        view.dtype = static_cast<DType>(reader.whole(0, static_cast<int64_t>(DType::panel_q4_k)));
        view.rank = static_cast<int32_t>(reader.whole(0, max_rank));
        for (int d = 0; d < view.rank; d++) view.dim[d] = reader.whole(0, max_bytes);
        if (bytes_needed(view) > view.bytes) throw std::invalid_argument("internal: a tensor of the program has more values than bytes");
        if (place.offset % 4 != 0) throw std::invalid_argument("internal: a tensor of the program lies askew in memory");
      }
      views_.push_back(view);
      places_.push_back(place);
    }
    commands_.push_back(command);
  }
  View* view = views_.data();
  for (Command& command : commands_) {
    command.in = view;
    command.out = view + command.num_inputs;
    view += command.num_inputs + command.num_outputs + 1;
  }
}

void Program::bind(const std::vector<Buffer>& buffers) {
  for (size_t i = 0; i < views_.size(); i++) {
    const Place& place = places_[i];
    if (place.buffer < 0) continue;
    if (place.buffer >= static_cast<int64_t>(buffers.size())) throw std::out_of_range("internal: a tensor lies in a buffer that was not given");
    const Buffer& buffer = buffers[place.buffer];
    if (views_[i].bytes > buffer.bytes || place.offset > buffer.bytes - views_[i].bytes)
      throw std::out_of_range("internal: a tensor reaches beyond its buffer");
    views_[i].data = buffer.data + place.offset;
  }
  for (Command& command : commands_) command.workspace = command.out[command.num_outputs];
}

void Program::run(Team& team, double* seconds, double* calls) const {
  using Clock = std::chrono::steady_clock;
  Clock::time_point start = Clock::now();
  for (const Command& command : commands_) {
    kernels_[command.op](command, team);
    team.barrier();
    if (team.id == 0) {
      const Clock::time_point end = Clock::now();
      seconds[command.op] += std::chrono::duration<double>(end - start).count();
      calls[command.op] += 1;
      start = end;
    }
    if (team.shared->stopped()) return;
  }
}

}  // namespace cria
