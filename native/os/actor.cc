#include "actor.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace closewait::os {

int Actor::Start(const char* name, int netns) {
  int prepared = PrepareInterrupts();
  if (prepared != 0) return prepared;
  strncpy(name_, name, sizeof(name_) - 1);
  netns_ = netns;
  int error = pthread_create(&thread_, nullptr, Main, this);
  if (error != 0) return -error;
  running_ = true;
  std::unique_lock<std::mutex> lock(mutex_);
  wake_.wait(lock, [this] { return start_result_ <= 0; });
  int result = start_result_;
  lock.unlock();
  if (result != 0) Stop();
  return result;
}

bool Actor::Submit(Job* job) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!running_ || stopping_) return false;
    queue_.push_back(job);
  }
  wake_.notify_one();
  return true;
}

void Actor::Cancel(uint64_t id) {
  bool was_empty = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (current_ != nullptr && current_->id == id) {
      current_->call.cancelled = 1;
      Interrupt(tid_);
      return;
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
}

std::vector<Job*> Actor::TakeDone() {
  std::vector<Job*> taken;
  std::lock_guard<std::mutex> lock(mutex_);
  taken.swap(done_);
  return taken;
}

void Actor::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!running_) return;
    stopping_ = true;
    for (Job* job : queue_) {
      job->call.result = -ECANCELED;
      done_.push_back(job);
    }
    queue_.clear();
    if (current_ != nullptr) {
      current_->call.cancelled = 1;
      Interrupt(tid_);
    }
  }
  wake_.notify_one();
  pthread_join(thread_, nullptr);
  std::lock_guard<std::mutex> lock(mutex_);
  running_ = false;
}

void* Actor::Main(void* self) {
  static_cast<Actor*>(self)->Run();
  return nullptr;
}

void Actor::Run() {
  AcceptInterrupts();
  prctl(PR_SET_NAME, name_);
  int result = netns_ >= 0 && setns(netns_, CLONE_NEWNET) != 0 ? -errno : 0;

  std::unique_lock<std::mutex> lock(mutex_);
  tid_ = static_cast<int>(syscall(SYS_gettid));
  start_result_ = result;
  wake_.notify_one();
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    current_ = queue_.front();
    queue_.pop_front();
    lock.unlock();
    Perform(current_->call);
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
