#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

namespace closewait::os {
namespace {

constexpr int kAboveStandard = 3;

struct Failure {
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

// The number was free when the pipe took it: it is nothing the caller has open.
int UnlessTaken(int fd, const int* report) { return fd == report[0] || fd == report[1] ? -1 : fd; }

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
bool PlaceDescriptors(const int* stdio, const int* report, int& step) {
  step = kLift;
  int lifted[3];
  for (int i = 0; i < 3; i++) {
    lifted[i] = fcntl(UnlessTaken(stdio[i], report), F_DUPFD_CLOEXEC, kAboveStandard);
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

[[noreturn]] void Child(const Plan& plan, const int* report) {
  int step = kLatch;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have died before the line above. A new user namespace does not hide its pid; in
  // another pid namespace a parent is 0, and only an end of what it is read from tells.
  pid_t parent = getppid();
  if (parent != 0 && parent != plan.parent) _exit(127);
  if (plan.latch < 0 || PassLatch(UnlessTaken(plan.latch, report))) {
    step = kUserMap;
    if (((plan.flags & CLONE_NEWUSER) == 0 || MapUser(plan)) &&
        PlaceDescriptors(plan.stdio, report, step)) {
      step = kExec;
      ResetSignals();
      execve(plan.path, plan.argv, plan.envp);
    }
  }
  Failure failure = {step, errno};
  if (write(report[1], &failure, sizeof(failure)) < 0) _exit(126);
  _exit(127);
}

// The pipe on which the child says what failed, both ends above 2: the number of a standard
// descriptor that is closed would be the first to be given out, and the child needs it for another.
// Returns 0 or -errno.
int OpenReport(int report[2], int& step) {
  step = kPipe;
  if (pipe2(report, O_CLOEXEC) != 0) return -errno;
  step = kLift;
  for (int i = 0; i < 2; i++) {
    if (report[i] >= kAboveStandard) continue;
    int lifted = fcntl(report[i], F_DUPFD_CLOEXEC, kAboveStandard);
    if (lifted < 0) {
      int error = errno;
      close(report[0]);
      close(report[1]);
      return -error;
    }
    close(report[i]);
    report[i] = lifted;
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
  if ((plan.flags & ~(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID)) != 0) return -EINVAL;
  plan.parent = getpid();
  snprintf(plan.uid_map, sizeof(plan.uid_map), "0 %u 1", geteuid());
  snprintf(plan.gid_map, sizeof(plan.gid_map), "0 %u 1", getegid());

  int report[2];
  int step;
  int opened = OpenReport(report, step);
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
  long pid = syscall(SYS_clone, plan.flags | CLONE_PIDFD | SIGCHLD, nullptr, &pidfd, nullptr, 0);
  if (pid == 0) Child(plan, report);
  int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  close(report[1]);

  if (pid > 0) {
    Failure failure = {};
    // The pipe closes at exec; until then the child holds its other end.
    const long end[6] = {report[0], reinterpret_cast<long>(&failure), sizeof(failure)};
    long length;
    do length = Invoke(&call.cancelled, SYS_read, end);
    while (length == -EINTR && call.cancelled == 0);
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
  close(report[0]);
  if (pid < 0) return -error;
  child[0] = static_cast<int>(pid);
  child[1] = pidfd;
  child[2] = 0;
  return pid;
}

}  // namespace closewait::os
