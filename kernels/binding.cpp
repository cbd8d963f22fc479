// The addon's face to JavaScript (Node-API). Every argument is checked; what is wrong becomes an exception of one sentence.
#include <algorithm>
#include <utility>
#include <vector>

#include "cpu.h"
#include "memory.h"
#include "napi-values.h"
#include "pool.h"

namespace cria {

extern const char* const sources_hash;  // sources.cpp

namespace {

constexpr napi_type_tag team_tag = {0x637269615f746561, 0x6d00000000000001};
constexpr napi_type_tag program_tag = {0x637269615f70726f, 0x6772616d00000001};

struct TeamHandle {
  napi_env env = nullptr;
  const Isa* isa = nullptr;
  std::unique_ptr<Shared> pool;
  napi_threadsafe_function deliver = nullptr;
  int pending = 0;
  std::vector<double> seconds, calls;

  // The threads end before the environment does, for they call into it.
  static void stop(void* data) {
    auto* self = static_cast<TeamHandle*>(data);
    self->pool.reset();
    napi_release_threadsafe_function(std::exchange(self->deliver, nullptr), napi_tsfn_abort);
  }
  ~TeamHandle() {
    if (!deliver) return;
    napi_remove_env_cleanup_hook(env, stop, this);
    stop(this);
  }
};

struct ProgramHandle {
  std::shared_ptr<TeamHandle> team;
  Program program;
  bool running = false, bound = false;
};

// A job on its way through the team and back to the event loop.
struct Run {
  std::shared_ptr<TeamHandle> team;
  std::shared_ptr<ProgramHandle> program;  // null for a probe
  napi_deferred deferred = nullptr;
  napi_ref buffers = nullptr;  // keeps them alive
  std::string error;
  double result = 0;
};

napi_value string_list(napi_env env, const std::vector<const char*>& names) {
  napi_value list, name;
  napi_create_array(env, &list);
  for (size_t i = 0; i < names.size(); i++) {
    napi_create_string_utf8(env, names[i], NAPI_AUTO_LENGTH, &name);
    napi_set_element(env, list, static_cast<uint32_t>(i), name);
  }
  return list;
}

// () -> the hash of the sources that all this was built from
napi_value hash_of_sources(napi_env env, napi_callback_info) {
  napi_value hash;
  napi_create_string_utf8(env, sources_hash, NAPI_AUTO_LENGTH, &hash);
  return hash;
}

// () -> names of the instruction sets, the slowest first
napi_value supported_isa_names(napi_env env, napi_callback_info) {
  std::vector<const char*> names;
  for (const Isa& isa : supported_isas()) names.push_back(isa.name);
  return string_list(env, names);
}

// () -> names of the operators, by opcode
napi_value operator_names(napi_env env, napi_callback_info) {
  std::vector<const char*> names;
  for (int i = 0; i < num_operators; i++) names.push_back(operator_infos[i].name);
  return string_list(env, names);
}

// An ArrayBuffer of memory that `give_back` takes when it is collected; null when `memory` is.
napi_value array_buffer(napi_env env, void* memory, int64_t bytes, void (*give_back)(void*, int64_t)) {
  napi_value result;
  if (memory == nullptr) {
    check(napi_get_null(env, &result), "could not make null");
    return result;
  }
  struct Owner {
    void (*give_back)(void*, int64_t);
    int64_t bytes;
  };
  auto* owner = new Owner{give_back, bytes};
  const auto finalize = [](napi_env, void* data, void* hint) {
    const std::unique_ptr<Owner> self(static_cast<Owner*>(hint));
    self->give_back(data, self->bytes);
  };
  const napi_status status = napi_create_external_arraybuffer(env, memory, bytes, finalize, owner, &result);
  if (status != napi_ok) finalize(env, memory, owner);
  check(status, "could not make an ArrayBuffer of its memory");
  return result;
}

// (bytes) -> ArrayBuffer, or null when there is no memory
napi_value allocate(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  const int64_t bytes = size_of(env, arguments.value[0]);
  return array_buffer(env, allocate_pages(bytes), bytes, free_pages);
}

// (file descriptor, offset, bytes) -> ArrayBuffer of a part of an open file, or null when it cannot be mapped
napi_value map(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  const auto file = static_cast<int>(size_of(env, arguments.value[0]));
  const int64_t bytes = size_of(env, arguments.value[2]);
  return array_buffer(env, map_file(file, size_of(env, arguments.value[1]), bytes), bytes, unmap_file);
}

// (buffer from allocate): its memory goes back to the system, it reads as zeros from now on
napi_value release(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  const Buffer buffer = buffer_of(env, arguments.value[0]);
  if (reinterpret_cast<intptr_t>(buffer.data) % 4096 != 0) throw std::invalid_argument("internal: only memory from allocate can be released");
  discard_pages(buffer.data, buffer.bytes);
  return nullptr;
}

void finish(napi_env env, napi_value, void*, void* data) {
  std::unique_ptr<Run> run(static_cast<Run*>(data));
  if (run->program) run->program->running = false;
  if (env == nullptr) return;
  if (--run->team->pending == 0) napi_unref_threadsafe_function(env, run->team->deliver);
  if (run->buffers) napi_delete_reference(env, run->buffers);
  napi_value value, message;
  if (run->error.empty()) {
    napi_create_double(env, run->result, &value);
    napi_resolve_deferred(env, run->deferred, value);
  } else {
    napi_create_string_utf8(env, run->error.c_str(), NAPI_AUTO_LENGTH, &message);
    napi_create_error(env, nullptr, message, &value);
    napi_reject_deferred(env, run->deferred, value);
  }
}

// (isa, threads) -> team
napi_value create_team(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  const std::string name = string_of(env, arguments.value[0]);
  const int64_t threads = size_of(env, arguments.value[1]);
  auto team = std::make_shared<TeamHandle>();
  team->env = env;
  for (const Isa& isa : supported_isas())
    if (name == isa.name) team->isa = &isa;
  if (team->isa == nullptr) throw std::invalid_argument("internal: this processor does not support the instruction set " + name);
  if (threads < 1 || threads > 1024) throw std::invalid_argument("internal: a team has 1 to 1024 threads");
  team->seconds.resize(num_operators);
  team->calls.resize(num_operators);
  napi_value resource_name;
  napi_create_string_utf8(env, "cria", NAPI_AUTO_LENGTH, &resource_name);
  check(napi_create_threadsafe_function(env, nullptr, nullptr, resource_name, 0, 1, nullptr, nullptr, nullptr, finish, &team->deliver),
        "could not connect to the event loop");
  napi_unref_threadsafe_function(env, team->deliver);
  team->pool = std::make_unique<Shared>(static_cast<int>(threads));
  napi_add_env_cleanup_hook(env, TeamHandle::stop, team.get());
  return wrap(env, team, team_tag);
}

// (team, words Float64Array) -> program
napi_value load(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  auto team = unwrap<TeamHandle>(env, arguments.value[0], team_tag);
  size_t count = 0;
  const double* words = typed_array_of<double>(env, arguments.value[1], napi_float64_array, &count);
  return wrap(env, std::make_shared<ProgramHandle>(ProgramHandle{team, Program(words, count, team->isa->kernels), false, false}), program_tag);
}

// Queues `body` for the team; the promise resolves with what it leaves in `Run::result`.
napi_value start(napi_env env, std::unique_ptr<Run> run, std::function<void(Run&, Team&)> body) {
  napi_value promise;
  check(napi_create_promise(env, &run->deferred, &promise), "could not make a promise");
  if (run->team->pending++ == 0) napi_ref_threadsafe_function(env, run->team->deliver);
  if (run->program) run->program->running = true;
  Shared& pool = *run->team->pool;
  Run* raw = run.release();
  pool.submit({[raw, body](Team& team) { body(*raw, team); },
               [raw](const char* failure) {
                 if (failure) raw->error = failure;
                 napi_call_threadsafe_function(raw->team->deliver, raw, napi_tsfn_nonblocking);
               }});
  return promise;
}

void bind_buffers(napi_env env, Run& run, napi_value array) {
  uint32_t count = 0;
  check(napi_get_array_length(env, array, &count), "expected an array of buffers");
  std::vector<Buffer> buffers(count);
  for (uint32_t i = 0; i < count; i++) {
    napi_value element;
    check(napi_get_element(env, array, i, &element), "could not read its buffers");
    buffers[i] = buffer_of(env, element);
  }
  run.program->bound = false;
  run.program->program.bind(buffers);
  run.program->bound = true;
  check(napi_create_reference(env, array, 1, &run.buffers), "could not hold its buffers");
}

// (program, ArrayBuffers, or null for those of the last time, which the caller has kept) -> promise
napi_value run_program(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  auto run = std::make_unique<Run>();
  run->program = unwrap<ProgramHandle>(env, arguments.value[0], program_tag);
  run->team = run->program->team;
  if (run->program->running) throw std::invalid_argument("internal: a program was started while it runs");
  napi_valuetype type;
  check(napi_typeof(env, arguments.value[1], &type), "could not read its buffers");
  if (type != napi_null) bind_buffers(env, *run, arguments.value[1]);
  else if (!run->program->bound) throw std::invalid_argument("internal: a program was started without buffers");
  return start(env, std::move(run), [](Run& self, Team& team) {
    self.program->program.run(team, self.team->seconds.data(), self.team->calls.data());
  });
}

// (team) -> Float64Array: seconds by opcode, then calls by opcode, since the last time asked
napi_value profile(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  auto team = unwrap<TeamHandle>(env, arguments.value[0], team_tag);
  if (team->pending > 0) throw std::invalid_argument("internal: a profile was asked for during a run");
  napi_value buffer, result;
  void* data = nullptr;
  check(napi_create_arraybuffer(env, 2 * num_operators * sizeof(double), &data, &buffer), "could not make an ArrayBuffer");
  double* values = static_cast<double*>(data);
  for (int i = 0; i < num_operators; i++) {
    values[i] = std::exchange(team->seconds[i], 0);
    values[num_operators + i] = std::exchange(team->calls[i], 0);
  }
  check(napi_create_typedarray(env, napi_float64_array, 2 * num_operators, buffer, 0, &result), "could not make a typed array");
  return result;
}

// (team, Float32Array, ArrayBuffer, byteOffset, dtype, rows, columns): rows of f32 to or from a storage type
template <bool pack> napi_value convert(napi_env env, napi_callback_info info) {
  Arguments<7> arguments(env, info);
  auto team = unwrap<TeamHandle>(env, arguments.value[0], team_tag);
  size_t count = 0;
  float* values = typed_array_of<float>(env, arguments.value[1], napi_float32_array, &count);
  const Buffer buffer = buffer_of(env, arguments.value[2]);
  const int64_t offset = std::min(size_of(env, arguments.value[3]), buffer.bytes);
  View view;
  view.data = buffer.data + offset;
  view.bytes = buffer.bytes - offset;
  view.dtype = static_cast<DType>(std::min<int64_t>(size_of(env, arguments.value[4]), static_cast<int64_t>(DType::panel_q4_k)));
  view.rank = 2;
  view.dim[0] = size_of(env, arguments.value[5]);
  view.dim[1] = size_of(env, arguments.value[6]);
  if (bytes_needed(view) > view.bytes || view.count() != static_cast<int64_t>(count))
    throw std::invalid_argument("internal: values and storage differ in size");
  view.bytes = bytes_needed(view);  // other rows of the same storage follow
  if (pack) team->isa->pack(values, view);
  else team->isa->unpack(view, values);
  return nullptr;
}

// (team, source, blocks Uint8Array, first row, rows, ArrayBuffer, dtype, all rows, columns): blocks of a file into quantised panels
napi_value repack(napi_env env, napi_callback_info info) {
  Arguments<9> arguments(env, info);
  auto team = unwrap<TeamHandle>(env, arguments.value[0], team_tag);
  const auto source = static_cast<SourceBlocks>(std::min<int64_t>(size_of(env, arguments.value[1]), static_cast<int64_t>(SourceBlocks::q4_k)));
  size_t count = 0;
  const uint8_t* blocks = typed_array_of<uint8_t>(env, arguments.value[2], napi_uint8_array, &count);
  const Buffer buffer = buffer_of(env, arguments.value[5]);
  View view;
  view.data = buffer.data;
  view.bytes = buffer.bytes;
  view.dtype = static_cast<DType>(std::min<int64_t>(size_of(env, arguments.value[6]), static_cast<int64_t>(DType::panel_q4_k)));
  view.rank = 2;
  view.dim[0] = size_of(env, arguments.value[7]);
  view.dim[1] = size_of(env, arguments.value[8]);
  const bool fits = bytes_needed(view) <= view.bytes &&
                    team->isa->repack(source, blocks, static_cast<int64_t>(count), size_of(env, arguments.value[3]), size_of(env, arguments.value[4]), view);
  if (!fits) throw std::invalid_argument("internal: blocks and panels do not belong together");
  return nullptr;
}

// (team, name, bytes) -> promise of a rate per second (probe.cpp)
napi_value probe(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  auto run = std::make_unique<Run>();
  run->team = unwrap<TeamHandle>(env, arguments.value[0], team_tag);
  const std::string name = string_of(env, arguments.value[1]);
  const Probe* found = run->team->isa->probes;
  while (found->name != nullptr && name != found->name) found++;
  if (found->name == nullptr) throw std::invalid_argument("internal: there is no probe " + name);
  const int64_t bytes = size_of(env, arguments.value[2]);
  return start(env, std::move(run), [found, bytes](Run& self, Team& team) {
    const double rate = found->measure(team, bytes);
    if (team.id == 0) self.result = rate;
  });
}

napi_value init(napi_env env, napi_value exports) {
  const napi_property_descriptor properties[] = {
#define CRIA_EXPORT(name, function) {name, nullptr, guarded<function>, nullptr, nullptr, nullptr, napi_enumerable, nullptr}
      CRIA_EXPORT("supportedIsas", supported_isa_names), CRIA_EXPORT("operators", operator_names),
      CRIA_EXPORT("allocate", allocate),                 CRIA_EXPORT("release", release),
      CRIA_EXPORT("createTeam", create_team),            CRIA_EXPORT("load", load),
      CRIA_EXPORT("run", run_program),                   CRIA_EXPORT("profile", profile),
      CRIA_EXPORT("pack", convert<true>),                CRIA_EXPORT("unpack", convert<false>),
      CRIA_EXPORT("repack", repack),                     CRIA_EXPORT("probe", probe),
      CRIA_EXPORT("map", map),                           CRIA_EXPORT("sourcesHash", hash_of_sources),
  };
  napi_define_properties(env, exports, sizeof(properties) / sizeof(properties[0]), properties);
  return exports;
}

}  // namespace
}  // namespace cria

NAPI_MODULE(cria, cria::init)
