#include "actor.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace closewait::os {
namespace {

// Until there may be room for a signal where there was none.
constexpr useconds_t kRetryUs = 1000;

// futex(2) by itself: between two microseconds of kernel, a condition variable's bookkeeping shows.
static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));

void Wait(std::atomic<uint32_t>& word, uint32_t seen) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
}

void Wake(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

// With a table of its own the thread's descriptors would be other files to everybody else, who
// closes them by their numbers.
bool UnsharesFiles(const Call& call) {
  return call.spec->number == SYS_unshare && (call.args[0] & CLONE_FILES) != 0;
}

}  // namespace

int Actor::Start(const char* name, int netns) {
  int prepared = PrepareInterrupts();
  if (prepared != 0) return prepared;
  strncpy(name_, name, sizeof(name_) - 1);
  netns_ = netns;
  int error = pthread_create(&thread_, nullptr, Main, this);
  if (error != 0) return -error;
  running_ = true;
  while (started_ == 0) Wait(started_, 0);
  if (start_result_ != 0) Stop();
  return start_result_;
}

bool Actor::Submit(Job* job) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!running_ || stopping_) return false;
  queue_.push_back(job);
  Rouse(lock);
  return true;
}

bool Actor::Cancel(uint64_t id) {
  bool was_empty = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (current_ != nullptr && current_->id == id) {
      current_->call.cancelled = 1;
      return Interrupt(tid_);
    }
    for (auto waiting = queue_.begin(); waiting != queue_.end(); ++waiting) {
      if ((*waiting)->id != id) continue;
      Job* job = *waiting;
      queue_.erase(waiting);
      job->call.result = -ECANCELED;
      was_empty = done_.empty();
      done_.push_back(job);
      break;
    }
  }
  if (was_empty) notify_(context_);
  return true;
}

void Actor::TakeDone(std::vector<Job*>& taken) {
  std::lock_guard<std::mutex> lock(mutex_);
  taken.swap(done_);
}

bool Actor::Quit() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!running_) return true;
  stopping_ = true;
  for (Job* job : queue_) {
    job->call.result = -ECANCELED;
    done_.push_back(job);
  }
  queue_.clear();
  bool told = true;
  if (current_ != nullptr) {
    current_->call.cancelled = 1;
    told = Interrupt(tid_);
  }
  Rouse(lock);
  return told;
}

void Actor::Stop() {
  while (!Quit()) usleep(kRetryUs);
  if (!running_) return;
  pthread_join(thread_, nullptr);
  std::lock_guard<std::mutex> lock(mutex_);
  running_ = false;
}

// Unlocks, and wakes the thread if it sleeps.
void Actor::Rouse(std::unique_lock<std::mutex>& lock) {
  bool asleep = asleep_;
  asleep_ = false;
  if (asleep) changes_++;
  lock.unlock();
  if (asleep) Wake(changes_);
}

// Sleeps until roused, or for less; unlocked meanwhile.
void Actor::Sleep(std::unique_lock<std::mutex>& lock) {
  asleep_ = true;
  uint32_t seen = changes_;
  lock.unlock();
  Wait(changes_, seen);
  lock.lock();
  asleep_ = false;
}

void* Actor::Main(void* self) {
  static_cast<Actor*>(self)->Run();
  return nullptr;
}

void Actor::Run() {
  AcceptInterrupts();
  prctl(PR_SET_NAME, name_);
  start_result_ = netns_ >= 0 && setns(netns_, CLONE_NEWNET) != 0 ? -errno : 0;
  tid_ = static_cast<int>(syscall(SYS_gettid));
  started_ = 1;
  Wake(started_);

  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    while (!stopping_ && queue_.empty()) Sleep(lock);
    if (stopping_) return;
    current_ = queue_.front();
    queue_.pop_front();
    lock.unlock();
    if (UnsharesFiles(current_->call)) {
      current_->call.result = -EINVAL;
    } else {
      Perform(*current_->call.spec, current_->call);
    }
    lock.lock();
    Job* job = current_;
    current_ = nullptr;
    // An interrupt sent for this job may still be on its way; entering the kernel once takes it in
    // here, where it ends nothing, and not in the next job's call.
    if (job->call.cancelled != 0) syscall(SYS_gettid);
    bool was_empty = done_.empty();
    done_.push_back(job);
    if (was_empty && !stopping_) {
      lock.unlock();
      notify_(context_);
      lock.lock();
    }
  }
}

}  // namespace closewait::os
