// A persistent team of threads that carries out one job at a time. The memory behind `Team::shared`.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "kernel.h"

namespace cria {

// A number that threads wait on: they spin briefly, since the next change mostly comes within microseconds, then sleep.
class Signal {
 public:
  uint32_t value() const { return value_.load(std::memory_order_acquire); }
  void advance();
  // Makes those who sleep spin again: an advance is near.
  void alert();
  // Returns when the value differs from `seen`; spins so many rounds before it sleeps.
  void wait(uint32_t seen, int rounds);

 private:
  std::atomic<uint32_t> value_{0};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
};

struct Job {
  std::function<void(Team&)> body;      // called on every thread of the team
  std::function<void(const char*)> done;  // called once after all have returned, with the first failure or null
};

class Shared {
 public:
  explicit Shared(int size);
  ~Shared();
  int size() const { return static_cast<int>(teams_.size()); }
  void submit(Job job);

  // True from the barrier after a failure or a request to stop on; the same for all threads between two barriers.
  bool stopped() const { return stopped_; }

  void barrier(Team& team);
  Counter* open_counters(Team& team, int count);
  void fail(const char* message);
  void* scratch(int thread, int64_t bytes);

 private:
  struct Scratch { void* memory = nullptr; int64_t bytes = 0; };

  void lead();
  void follow(int id);
  bool take(Job& job);

  std::vector<Team> teams_;
  std::vector<Scratch> scratch_;
  const int max_counters_;  // between two barriers
  std::unique_ptr<Counter[]> counters_;
  std::atomic<int> arrived_{0};
  Signal round_;       // advances when all have arrived at a barrier
  Signal started_;     // advances when a job starts, or to end the threads
  Signal submitted_;   // advances when a job is queued, or to end the threads
  std::atomic<const char*> failure_{nullptr};
  std::atomic<bool> ending_{false};
  bool stopped_ = false;
  std::function<void(Team&)>* body_ = nullptr;
  std::mutex queue_mutex_;
  std::deque<Job> queue_;
  std::vector<std::thread> threads_;
};

}  // namespace cria
