// A thread that makes system calls for somebody else, one after the other.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "call.h"

namespace closewait::os {

// A call under way on an actor. Its owner gets it back through Actor::TakeDone, always, and exactly
// once; until then the actor may touch it at any time.
struct Job {
  uint64_t id = 0;
  Call call;
};

class Actor {
 public:
  // Called on the actor's thread when finished jobs begin to wait for TakeDone.
  using Notify = void (*)(void* context);

  Actor(Notify notify, void* context) : notify_(notify), context_(context) {}
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;
  ~Actor() { Stop(); }

  // Starts the thread, named `name` (15 bytes show in ps and top), in the network namespace that
  // descriptor `netns` leads to, or in the caller's for -1. Returns 0 or -errno.
  int Start(const char* name, int netns);

  // Queues a job; false if the actor has stopped, and then the job stays the caller's.
  bool Submit(Job* job);

  // Ends job `id`: at once if it waits, by interrupting the thread if it runs. Its result is
  // -ECANCELED unless the kernel was faster; a result is never thrown away. False where the thread
  // could not be interrupted now.
  bool Cancel(uint64_t id);

  // Fills `taken`, which must be empty, with the jobs that finished since the last time, oldest
  // first.
  void TakeDone(std::vector<Job*>& taken);

  // Cancels every job. False where the thread could not be interrupted now: then to be tried again.
  bool Quit();

  // Quits, however long that takes, and joins the thread. Idempotent.
  void Stop();

 private:
  static void* Main(void* self);
  void Run();
  void Rouse(std::unique_lock<std::mutex>& lock);
  void Sleep(std::unique_lock<std::mutex>& lock);

  const Notify notify_;
  void* const context_;
  char name_[16] = {};
  int netns_ = -1;
  int start_result_ = 0;
  std::atomic<uint32_t> started_ = 0;  // 1 once the thread knows its result

  std::mutex mutex_;
  std::atomic<uint32_t> changes_ = 0;  // what the thread sleeps on
  bool asleep_ = false;
  std::deque<Job*> queue_;
  std::vector<Job*> done_;
  Job* current_ = nullptr;
  bool stopping_ = false;
  bool running_ = false;
  int tid_ = 0;
  pthread_t thread_ = {};
};

}  // namespace closewait::os
