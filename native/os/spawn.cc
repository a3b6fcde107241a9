#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <vector>

namespace closewait::os {
namespace {

constexpr int kAboveStandard = 3;

// What a child says to the thread that made it: which step failed, or kParent, a question.
struct Report {
  int step;
  int error;
};

// Pointers to the strings of a block, with the null that ends an argument vector. The block ends
// in NUL: the caller has checked. One that is nothing but that NUL holds no strings.
std::vector<char*> Strings(long block, long length) {
  std::vector<char*> strings;
  char* text = reinterpret_cast<char*>(block);
  char* end = length == 1 ? text : text + length;
  for (; text < end; text += strlen(text) + 1) strings.push_back(text);
  strings.push_back(nullptr);
  return strings;
}

// Everything from here to Child() runs between clone and exec in a copy of a process with threads:
// only async-signal-safe calls, no allocation, no locks.

bool WriteFile(const char* path, const char* text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t length = static_cast<ssize_t>(strlen(text));
  bool written = write(fd, text, length) == length;
  int saved = errno;
  close(fd);
  errno = saved;
  return written;
}

struct Plan {
  const char* path;
  char** argv;
  char** envp;
  const int* stdio;
  int latch;
  unsigned flags;
  pid_t parent;
  char uid_map[32];
  char gid_map[32];
};

// The number was free when the pair took it: it is nothing the caller has open.
int UnlessTaken(int fd, const int* pair) { return fd == pair[0] || fd == pair[1] ? -1 : fd; }

// Before descriptors are placed: the latch may be one of those that are replaced.
bool PassLatch(int latch) {
  int pid = getpid();
  if (write(latch, &pid, sizeof(pid)) != sizeof(pid)) return false;
  char go;
  ssize_t length = read(latch, &go, sizeof(go));
  if (length == 0) errno = ECANCELED;
  return length > 0;
}

bool MapUser(const Plan& plan) {
  return (WriteFile("/proc/self/setgroups", "deny") || errno == ENOENT) &&
         WriteFile("/proc/self/uid_map", plan.uid_map) &&
         WriteFile("/proc/self/gid_map", plan.gid_map);
}

// Lifts the three above 2 first: one of them may be 0, 1 or 2 in another's place. Nothing but the
// three is passed on: a socket that leaks into a program stays open there.
bool PlaceDescriptors(const int* stdio, const int* pair, int& step) {
  step = kLift;
  int lifted[3];
  for (int i = 0; i < 3; i++) {
    lifted[i] = fcntl(UnlessTaken(stdio[i], pair), F_DUPFD_CLOEXEC, kAboveStandard);
    if (lifted[i] < 0) return false;
  }
  step = kPlace;
  for (int i = 0; i < 3; i++) {
    if (dup2(lifted[i], i) < 0) return false;
  }
  step = kSeal;
  return syscall(SYS_close_range, kAboveStandard, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
}

void ResetSignals() {
  for (int number = 1; number < NSIG; number++) {
    if (number != SIGKILL && number != SIGSTOP) signal(number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Closes all but what is still needed: while this process waits, a copy of a socket would keep its
// connection open, and one of another child's pair would keep who made that from seeing it go on.
bool CloseOthers(const Plan& plan, const int* pair) {
  int kept[] = {plan.stdio[0], plan.stdio[1], plan.stdio[2], plan.latch, pair[1]};
  std::sort(std::begin(kept), std::end(kept));
  int from = 0;
  for (int fd : kept) {
    if (fd > from && syscall(SYS_close_range, from, fd - 1, 0) != 0) return false;
    if (fd >= from) from = fd + 1;
  }
  return syscall(SYS_close_range, from, ~0U, 0) == 0;
}

// Whether the thread that made this process lives: if not, the wish for its death came too late. A
// new user namespace does not hide its pid; in another pid namespace it has none, and is asked. No
// answer is an end of file.
bool HasParent(const Plan& plan, const int* pair) {
  pid_t parent = getppid();
  if (parent != 0) return parent == plan.parent;
  Report question = {kParent, 0};
  char yes;
  return write(pair[1], &question, sizeof(question)) == sizeof(question) &&
         read(pair[1], &yes, sizeof(yes)) == sizeof(yes);
}

[[noreturn]] void Child(const Plan& plan, const int* pair) {
  int step = kSeal;
  if ((plan.flags & POSIX_SPAWN_SETPGROUP) != 0) setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (CloseOthers(plan, pair)) {
    if (!HasParent(plan, pair)) _exit(127);
    step = kLatch;
    if (plan.latch < 0 || PassLatch(UnlessTaken(plan.latch, pair))) {
      step = kUserMap;
      if (((plan.flags & CLONE_NEWUSER) == 0 || MapUser(plan)) &&
          PlaceDescriptors(plan.stdio, pair, step)) {
        step = kExec;
        ResetSignals();
        execve(plan.path, plan.argv, plan.envp);
      }
    }
  }
  Report failure = {step, errno};
  if (write(pair[1], &failure, sizeof(failure)) < 0) _exit(126);
  _exit(127);
}

// The two ends of what the child and its parent say, both above 2: the number of a standard
// descriptor that is closed would be the first to be given out, and the child needs it for another.
// Returns 0 or -errno.
int OpenPair(int pair[2], int& step) {
  step = kPair;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return -errno;
  step = kLift;
  for (int i = 0; i < 2; i++) {
    if (pair[i] >= kAboveStandard) continue;
    int lifted = fcntl(pair[i], F_DUPFD_CLOEXEC, kAboveStandard);
    if (lifted < 0) {
      int error = errno;
      close(pair[0]);
      close(pair[1]);
      return -error;
    }
    close(pair[i]);
    pair[i] = lifted;
  }
  return 0;
}

}  // namespace

long Spawn(Call& call) {
  int* child = reinterpret_cast<int*>(call.args[5]);
  child[0] = child[1] = -1;
  child[2] = kClone;

  std::vector<char*> argv = Strings(call.args[1], call.lengths[1]);
  std::vector<char*> envp = Strings(call.args[2], call.lengths[2]);
  Plan plan = {};
  plan.path = reinterpret_cast<const char*>(call.args[0]);
  plan.argv = argv.data();
  plan.envp = envp.data();
  plan.stdio = reinterpret_cast<const int*>(call.args[3]);
  plan.latch = plan.stdio[3];
  plan.flags = static_cast<unsigned>(call.args[4]);
  constexpr unsigned kNamespaces = CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID;
  if ((plan.flags & ~(kNamespaces | POSIX_SPAWN_SETPGROUP)) != 0) return -EINVAL;
  plan.parent = getpid();
  snprintf(plan.uid_map, sizeof(plan.uid_map), "0 %u 1", geteuid());
  snprintf(plan.gid_map, sizeof(plan.gid_map), "0 %u 1", getegid());

  int pair[2];
  int step;
  int opened = OpenPair(pair, step);
  if (opened != 0) {
    child[2] = step;
    return opened;
  }
  // Every signal is held back across the clone: a handler of the parent must not run in the copy.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int pidfd = -1;
  long pid = syscall(SYS_clone, (plan.flags & kNamespaces) | CLONE_PIDFD | SIGCHLD, nullptr, &pidfd,
                     nullptr, 0);
  if (pid == 0) Child(plan, pair);
  int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  close(pair[1]);

  if (pid > 0) {
    Report failure = {};
    // The pair closes at exec; until then the child holds its other end.
    const long end[6] = {pair[0], reinterpret_cast<long>(&failure), sizeof(failure)};
    long length;
    for (;;) {
      length = Invoke(&call.cancelled, SYS_read, end);
      bool asks = length > 0 && failure.step == kParent;
      if (asks) send(pair[0], "", 1, MSG_NOSIGNAL);
      if (!asks && (length != -EINTR || call.cancelled != 0)) break;
    }
    if (length < 0) {
      failure = {kLatch, static_cast<int>(-length)};
      kill(static_cast<pid_t>(pid), SIGKILL);
    }
    if (length != 0) {
      siginfo_t info;
      while (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) != 0 && errno == EINTR) {
      }
      close(pidfd);
      child[2] = failure.step;
      error = failure.error;
      pid = -1;
    }
  }
  close(pair[0]);
  if (pid < 0) return -error;
  child[0] = static_cast<int>(pid);
  child[1] = pidfd;
  child[2] = 0;
  return pid;
}

}  // namespace closewait::os
