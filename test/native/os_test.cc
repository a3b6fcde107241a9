// native/os by itself, for tools that cannot look into Node: actors, their cancellation, sequences
// and spawn, with several threads at each. `npm run tsan` runs it under ThreadSanitizer, memcheck
// and helgrind.
//
// usage: os_test ROUNDS. Says what it did; exits 1 where something was not as it should be. A
// wake-up that is lost ends as SIGALRM: nothing here waits for long.
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

#include "../../native/os/actor.h"
#include "../../native/os/calls.h"

#ifdef __SANITIZE_THREAD__
// ThreadSanitizer keeps a signal back until its thread enters a call that it knows. The handler of
// invoke.cc has to see the very instruction that was interrupted, or a wake-up is lost: so
// sigaction goes to the kernel here, past ThreadSanitizer. invoke.cc is built without it for the
// same reason: what it would add to the handler may interrupt itself.
#ifdef __x86_64__
asm(".text\nrestore: mov $15, %eax\nsyscall\n");
extern "C" void restore() asm("restore");
#endif

extern "C" int sigaction(int number, const struct sigaction* action, struct sigaction* before) {
  struct {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)();
    uint64_t mask;
  } now = {}, then = {};
  if (action != nullptr) {
    now.handler = action->sa_handler;
    now.flags = static_cast<unsigned long>(action->sa_flags);
    memcpy(&now.mask, &action->sa_mask, sizeof now.mask);
#ifdef __x86_64__
    now.flags |= 0x04000000;  // SA_RESTORER, which x86-64 insists on
    now.restorer = restore;
#endif
  }
  long result = syscall(SYS_rt_sigaction, number, action == nullptr ? nullptr : &now, &then, 8);
  if (before != nullptr) before->sa_handler = then.handler;
  return static_cast<int>(result);
}
#endif

namespace {

using namespace closewait::os;

long faults = 0;

void Expect(bool holds, const char* what, long got) {
  if (holds) return;
  faults++;
  fprintf(stderr, "not so: %s; got %ld\n", what, got);
}

// A job with room for what its call reads and writes.
struct Work : Job {
  alignas(8) char bytes[64] = {};
};

std::unique_ptr<Work> Make(uint64_t id, std::string_view name, std::initializer_list<long> args) {
  auto work = std::make_unique<Work>();
  work->id = id;
  for (const CallSpec& spec : kCalls) {
    if (name == spec.name) work->call.spec = &spec;
  }
  if (work->call.spec == nullptr) errx(1, "no call is named %s", name.data());
  std::copy(args.begin(), args.end(), work->call.args);
  return work;
}

// read(fd, the work's own bytes, 1)
std::unique_ptr<Work> MakeRead(uint64_t id, int fd) {
  auto work = Make(id, "read", {fd, 0, 1});
  work->call.args[1] = reinterpret_cast<long>(work->bytes);
  return work;
}

// An actor, and the thread that waits for what it finishes.
class Owner {
 public:
  Owner() : actor_(Notify, this) {
    int result = actor_.Start("os_test", -1);
    if (result != 0) errx(1, "Start: %s", strerror(-result));
  }

  void Submit(std::unique_ptr<Work> work) {
    if (!actor_.Submit(work.get())) errx(1, "Submit: it has stopped");
    work.release();
  }
  bool Refuses(std::unique_ptr<Work> work) { return !actor_.Submit(work.get()); }
  void Cancel(uint64_t id) { actor_.Cancel(id); }
  void Stop() { actor_.Stop(); }

  // The job that finished next.
  std::unique_ptr<Work> Next() {
    while (at_ == taken_.size()) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        while (!told_) told_now_.wait(lock);
        told_ = false;
      }
      Take();
    }
    return std::unique_ptr<Work>(static_cast<Work*>(taken_[at_++]));
  }

  // Nothing, if no job is finished.
  std::unique_ptr<Work> Left() {
    if (at_ == taken_.size()) Take();
    if (at_ == taken_.size()) return nullptr;
    return std::unique_ptr<Work>(static_cast<Work*>(taken_[at_++]));
  }

 private:
  static void Notify(void* context) {
    auto* owner = static_cast<Owner*>(context);
    std::lock_guard<std::mutex> lock(owner->mutex_);
    owner->told_ = true;
    owner->told_now_.notify_one();
  }

  void Take() {
    taken_.clear();
    at_ = 0;
    actor_.TakeDone(taken_);
  }

  Actor actor_;
  std::mutex mutex_;
  std::condition_variable told_now_;
  bool told_ = false;
  std::vector<Job*> taken_;
  size_t at_ = 0;
};

struct Pipe {
  int ends[2];
  Pipe() {
    if (pipe2(ends, O_CLOEXEC) != 0) err(1, "pipe2");
  }
  ~Pipe() {
    close(ends[0]);
    close(ends[1]);
  }
  int Waiting() const {
    int bytes = -1;
    ioctl(ends[0], FIONREAD, &bytes);
    return bytes;
  }
};

std::minstd_rand chance;  // the same numbers in every run

// Lets other threads get anywhere between nothing and a few calls further.
void Dither() {
  for (auto left = chance() % 4096; left > 0; left--) asm volatile("");
  if (chance() % 8 == 0) std::this_thread::yield();
}

void FinishesInOrder(long rounds) {
  Owner owner;
  long tid = 0;
  for (long i = 0; i < rounds; i++) owner.Submit(Make(static_cast<uint64_t>(i), "gettid", {}));
  for (long i = 0; i < rounds; i++) {
    auto work = owner.Next();
    Expect(work->id == static_cast<uint64_t>(i), "jobs finish in order", i);
    if (tid == 0) tid = work->call.result;
    Expect(tid > 0 && work->call.result == tid, "one thread makes all calls", work->call.result);
  }
}

void CancelIsNeverLost(long rounds) {
  Owner owner;
  Pipe pipe;
  for (long i = 0; i < rounds; i++) {
    owner.Submit(MakeRead(1, pipe.ends[0]));
    Dither();
    owner.Cancel(1);
    long result = owner.Next()->call.result;
    Expect(result == -ECANCELED, "a cancelled call ends", result);
  }
}

// The byte was read or is still there, and the answer says which.
void CancelUndoesNothing(long rounds) {
  Owner reader;
  Owner writer;
  Pipe pipe;
  long cancelled = 0;
  for (long i = 0; i < rounds; i++) {
    reader.Submit(MakeRead(1, pipe.ends[0]));
    Dither();
    auto write = Make(2, "write", {pipe.ends[1], 0, 1});
    write->call.args[1] = reinterpret_cast<long>(write->bytes);
    writer.Submit(std::move(write));
    Dither();
    reader.Cancel(1);
    long result = reader.Next()->call.result;
    Expect(writer.Next()->call.result == 1, "a write of one byte writes one", 0);
    Expect(result == 1 || result == -ECANCELED, "it reads the byte or is cancelled", result);
    Expect(pipe.Waiting() == (result == 1 ? 0 : 1), "no byte is lost", result);
    char byte;
    if (result < 0) Expect(read(pipe.ends[0], &byte, 1) == 1, "the byte is there", result);
    if (result < 0) cancelled++;
  }
  printf("  %ld of %ld were cancelled before the byte came\n", cancelled, rounds);
}

// What was accepted is told of: no descriptor without an owner.
void CancelLeaksNoConnection(long rounds) {
  struct sockaddr_in address = {};
  socklen_t length = sizeof address;
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  auto* name = reinterpret_cast<struct sockaddr*>(&address);
  if (bind(listener, name, length) != 0 || listen(listener, 8) != 0 ||
      getsockname(listener, name, &length) != 0) {
    err(1, "listen");
  }
  fcntl(listener, F_SETFL, 0);
  Owner acceptor;
  Owner connector;
  for (long i = 0; i < rounds; i++) {
    acceptor.Submit(Make(1, "accept4", {listener, 0, 0, SOCK_CLOEXEC}));
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    auto connect = Make(2, "connect", {client, 0, length});
    memcpy(connect->bytes, &address, length);
    connect->call.args[1] = reinterpret_cast<long>(connect->bytes);
    connector.Submit(std::move(connect));
    Dither();
    acceptor.Cancel(1);
    long accepted = acceptor.Next()->call.result;
    Expect(connector.Next()->call.result == 0, "the connection is made", accepted);
    Expect(accepted >= 0 || accepted == -ECANCELED, "accepted, or cancelled", accepted);
    // A reset, so that nothing is left in TIME_WAIT.
    struct linger reset = {1, 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (accepted < 0) accepted = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    Expect(accepted >= 0, "what was not accepted waits", -errno);
    close(client);
    close(static_cast<int>(accepted));
  }
  close(listener);
}

// An interrupt for a job that is over reaches no job after it.
void LateCancelEndsNothingElse(long rounds) {
  Owner owner;
  Pipe pipe;
  for (long i = 0; i < rounds; i++) {
    owner.Submit(Make(1, "gettid", {}));
    owner.Submit(MakeRead(2, pipe.ends[0]));
    Dither();
    owner.Cancel(1);
    Dither();
    if (write(pipe.ends[1], "x", 1) != 1) err(1, "write");
    long first = owner.Next()->call.result;
    long second = owner.Next()->call.result;
    Expect(first > 0 || first == -ECANCELED, "the first ran, or was cancelled", first);
    Expect(second == 1, "the second is not touched", second);
  }
}

// Threads that submit to and cancel at one actor at the same time.
void ManyOwners(long rounds) {
  constexpr int kThreads = 4;
  Owner owner;
  Pipe pipe;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; thread++) {
    threads.emplace_back([&owner, &pipe, thread, rounds] {
      for (long i = 0; i < rounds; i++) {
        auto id = static_cast<uint64_t>(i * kThreads + thread + 1);
        owner.Submit(MakeRead(id, pipe.ends[0]));
        owner.Cancel(id);
      }
    });
  }
  for (long i = 0; i < kThreads * rounds; i++) {
    long result = owner.Next()->call.result;
    Expect(result == -ECANCELED, "each is cancelled", result);
  }
  for (std::thread& thread : threads) thread.join();
  Expect(owner.Left() == nullptr, "each comes back once", 1);
}

void StopGivesAllBack(long rounds) {
  Pipe pipe;
  for (long i = 0; i < rounds; i++) {
    Owner owner;
    constexpr int kJobs = 4;
    for (uint64_t id = 1; id <= kJobs; id++) owner.Submit(MakeRead(id, pipe.ends[0]));
    Dither();
    owner.Stop();
    owner.Stop();
    int back = 0;
    while (auto work = owner.Left()) {
      back++;
      Expect(work->call.result == -ECANCELED, "what a stop ends is cancelled", work->call.result);
    }
    Expect(back == kJobs, "all come back", back);
    Expect(owner.Refuses(MakeRead(9, pipe.ends[0])), "a stopped actor takes nothing", i);
  }
}

void ActorsComeAndGo(long rounds) {
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 3; thread++) {
    threads.emplace_back([rounds] {
      for (long i = 0; i < rounds; i++) {
        Owner owner;
        owner.Submit(Make(1, "gettid", {}));
        if (i % 2 == 0) Expect(owner.Next()->call.result > 0, "it works", i);
        owner.Stop();
        owner.Left();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void SequencesMakeTheirSteps(long rounds) {
  Owner owner;
  Pipe pipe;
  const int steps[][4] = {{kReadClock, 0, 0, 0},
                          {kWriteStep, pipe.ends[1], 3, 0},
                          {kReadStep, pipe.ends[0], 3, 0},
                          {kReadClock, 0, 0, 0}};
  constexpr long kSteps = sizeof steps / sizeof steps[0];
  int results[kSteps];
  int64_t stamps[2];
  for (long i = 0; i < rounds; i++) {
    auto work = Make(1, "sequence", {});
    memcpy(work->bytes, "abc", 3);
    void* places[] = {const_cast<int*>(&steps[0][0]), work->bytes, results, stamps};
    const long lengths[] = {sizeof steps, 3, sizeof results, sizeof stamps};
    for (int at = 0; at < 4; at++) {
      work->call.args[at] = reinterpret_cast<long>(places[at]);
      work->call.lengths[at] = lengths[at];
    }
    owner.Submit(std::move(work));
    auto done = owner.Next();
    Expect(done->call.result == kSteps, "all steps are made", done->call.result);
    Expect(results[1] == 3 && results[2] == 3, "three bytes go through", results[2]);
    Expect(stamps[1] >= stamps[0], "the clock does not go back", stamps[1] - stamps[0]);
  }
}

void SpawnsAndSeesTheEnd(long rounds) {
  Owner owner;
  const int stdio[4] = {0, 1, 2, -1};
  char argv[] = "true\0";
  char nothing[] = "";
  for (long i = 0; i < rounds; i++) {
    bool exists = i % 2 == 0;
    int child[3];
    auto work = Make(1, "spawn", {});
    const char* path = exists ? "/bin/true" : "/bin/no such program";
    const void* places[] = {path, argv, nothing, stdio, nullptr, child};
    const long lengths[] = {0, 5, 1, sizeof stdio, 0, sizeof child};
    for (int at = 0; at < 6; at++) {
      work->call.args[at] = reinterpret_cast<long>(places[at]);
      work->call.lengths[at] = lengths[at];
    }
    owner.Submit(std::move(work));
    long pid = owner.Next()->call.result;
    Expect(exists ? pid > 0 : pid == -ENOENT, "it starts, or is refused", pid);
    if (!exists) Expect(child[2] == kExec, "exec refused it", child[2]);
    if (pid <= 0) continue;
    int status = -1;
    Expect(waitpid(static_cast<pid_t>(pid), &status, 0) == pid && status == 0, "it ends", status);
    close(child[1]);
  }
}

int CountIn(const char* path) {
  DIR* directory = opendir(path);
  if (directory == nullptr) err(1, "%s", path);
  int count = 0;
  while (readdir(directory) != nullptr) count++;
  closedir(directory);
  return count;
}

// A thread that was joined is listed for a moment more.
bool ComesDownTo(int count, const char* path) {
  for (int look = 0; look < 10000; look++) {
    if (CountIn(path) <= count) return true;
    usleep(1000);
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  long rounds = argc > 1 ? atol(argv[1]) : 1000;
  struct {
    const char* name;
    void (*run)(long rounds);
    long share;  // of the rounds: some cost more than others
  } const tests[] = {
      {"jobs finish in order", FinishesInOrder, 1},
      {"a cancel is never lost", CancelIsNeverLost, 1},
      {"a cancel undoes nothing", CancelUndoesNothing, 1},
      {"a cancel leaks no connection", CancelLeaksNoConnection, 4},
      {"a late cancel ends nothing else", LateCancelEndsNothingElse, 1},
      {"many threads at one actor", ManyOwners, 4},
      {"stop gives all jobs back", StopGivesAllBack, 10},
      {"actors come and go", ActorsComeAndGo, 10},
      {"sequences make their steps", SequencesMakeTheirSteps, 4},
      {"spawn starts a program", SpawnsAndSeesTheEnd, 50},
  };
  // Some tools start a thread of their own with the first.
  Owner().Stop();
  int descriptors = CountIn("/proc/self/fd");
  int threads = CountIn("/proc/self/task");
  for (const auto& test : tests) {
    alarm(120);
    long share = rounds / test.share + 1;
    printf("%s, %ld times\n", test.name, share);
    fflush(stdout);
    test.run(share);
  }
  Expect(ComesDownTo(descriptors, "/proc/self/fd"), "no descriptor is left", descriptors);
  Expect(ComesDownTo(threads, "/proc/self/task"), "no thread is left", threads);
  printf("%ld faults\n", faults);
  return faults == 0 ? 0 : 1;
}
