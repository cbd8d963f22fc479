// Threads, barriers and shared counters. Thread 0 takes jobs from the queue and leads the others through them.
#include "pool.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#if defined(__linux__)
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace cria {

namespace {

// About 30 microseconds: longer than the usual wait at a barrier, short enough to leave the core to a busy neighbour.
constexpr int spin_rounds = 1500;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

void Signal::advance() {
  value_.fetch_add(1, std::memory_order_seq_cst);
  alert();
}

void Signal::alert() {
  if (sleepers_.load(std::memory_order_seq_cst) == 0) return;
  std::lock_guard<std::mutex> lock(mutex_);
  changed_.notify_all();
}

void Signal::wait(uint32_t seen, int rounds) {
  for (;; rounds = spin_rounds) {
    for (int i = 0; i < rounds; i++) {
      if (value() != seen) return;
      pause();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    if (value_.load(std::memory_order_seq_cst) == seen) changed_.wait(lock);
    sleepers_.fetch_sub(1, std::memory_order_relaxed);
  }
}

Shared::Shared(int size) : teams_(size), scratch_(size), max_counters_(std::max(64, 4 * size)), counters_(new Counter[max_counters_]) {
  for (int id = 0; id < size; id++) {
    teams_[id].id = id;
    teams_[id].size = size;
    teams_[id].shared = this;
  }
  threads_.emplace_back([this] { lead(); });
  for (int id = 1; id < size; id++) threads_.emplace_back([this, id] { follow(id); });
}

Shared::~Shared() {
  ending_.store(true);
  submitted_.advance();
  for (std::thread& thread : threads_) thread.join();
  for (Scratch& scratch : scratch_) std::free(scratch.memory);
}

void Shared::submit(Job job) {
  {
    std::lock_guard<std::mutex> lock(queue_mutex_);
    queue_.push_back(std::move(job));
  }
  submitted_.advance();
  started_.alert();  // all threads wake up at once, not the first one the others
}

bool Shared::take(Job& job) {
  for (;;) {
    const uint32_t seen = submitted_.value();
    if (ending_.load()) return false;
    {
      std::lock_guard<std::mutex> lock(queue_mutex_);
      if (!queue_.empty()) {
        job = std::move(queue_.front());
        queue_.pop_front();
        return true;
      }
    }
    submitted_.wait(seen, spin_rounds);
  }
}

void Shared::lead() {
  Job job;
  while (take(job)) {
    failure_.store(nullptr);
    stopped_ = false;
    body_ = &job.body;
    started_.advance();
    job.body(teams_[0]);
    barrier(teams_[0]);
    job.done(ending_.load() ? "the run was given up because the program ends" : failure_.load());
    job = Job();
  }
  body_ = nullptr;
  started_.advance();
}

void Shared::follow(int id) {
  for (uint32_t seen = 0;; seen++) {
    started_.wait(seen, 0);
    if (body_ == nullptr) return;
    (*body_)(teams_[id]);
    barrier(teams_[id]);
  }
}

void Shared::barrier(Team& team) {
  const uint32_t seen = round_.value();
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < size()) {
    round_.wait(seen, spin_rounds);
  } else {
    for (int i = 0; i < team.counters_used; i++) counters_[i].next.store(0, std::memory_order_relaxed);
    arrived_.store(0, std::memory_order_relaxed);
    stopped_ = failure_.load() != nullptr || ending_.load();
    round_.advance();
  }
  team.counters_used = 0;
}

Counter* Shared::open_counters(Team& team, int count) {
  if (team.counters_used + count > max_counters_) barrier(team);  // all threads open equally many, so all come here
  Counter* first = &counters_[team.counters_used];
  team.counters_used += count;
  return first;
}

void Shared::fail(const char* message) {
  const char* none = nullptr;
  failure_.compare_exchange_strong(none, message);
}

void* Shared::scratch(int thread, int64_t bytes) {
  Scratch& scratch = scratch_[thread];
  if (scratch.bytes < bytes) {
    std::free(scratch.memory);
    scratch.bytes = (bytes + 4095) / 4096 * 4096;
    scratch.memory = std::aligned_alloc(4096, scratch.bytes);
    if (scratch.memory == nullptr) throw std::bad_alloc();
  }
  return scratch.memory;
}

void Team::barrier() { shared->barrier(*this); }
void Team::fail(const char* message) { shared->fail(message); }
void* Team::scratch(int64_t bytes) { return shared->scratch(id, bytes); }
Counter* Team::open_counters(int count) { return shared->open_counters(*this, count); }

}  // namespace cria
