#include "forget.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "constants_newer.h"

#ifndef SCM_PIDFD  // Linux 6.5
#define SCM_PIDFD 0x04
#endif

namespace closewait::os {
namespace {

void CloseAt(const void* place) {
  int fd;
  memcpy(&fd, place, sizeof fd);
  // In place of a pidfd the kernel may write an error.
  if (fd >= 0) close(fd);
}

}  // namespace

void Forget(Call& call) {
  if (call.result >= 0 && call.spec->forget != nullptr) call.spec->forget(call);
}

void ForgetResult(Call& call) { close(static_cast<int>(call.result)); }

void ForgetPair(Call& call) {
  const bool pipe = call.spec->number == SYS_pipe2;
  const auto* pair = reinterpret_cast<const int*>(call.args[pipe ? 0 : 3]);
  CloseAt(pair);
  CloseAt(pair + 1);
}

void ForgetControl(Call& call) {
  struct msghdr* message = &call.message;
  for (auto* each = CMSG_FIRSTHDR(message); each != nullptr; each = CMSG_NXTHDR(message, each)) {
    bool rights = each->cmsg_type == SCM_RIGHTS || each->cmsg_type == SCM_PIDFD;
    if (each->cmsg_level != SOL_SOCKET || !rights) continue;
    const unsigned char* end = reinterpret_cast<unsigned char*>(each) + each->cmsg_len;
    for (unsigned char* at = CMSG_DATA(each); at + sizeof(int) <= end; at += sizeof(int)) {
      CloseAt(at);
    }
  }
}

void ForgetOption(Call& call) {
  bool pidfd = call.args[1] == SOL_SOCKET && call.args[2] == SO_PEERPIDFD;
  if (pidfd && call.result >= static_cast<long>(sizeof(int))) {
    CloseAt(reinterpret_cast<const void*>(call.args[3]));
  }
}

void ForgetDuplicate(Call& call) {
  if (call.args[1] == F_DUPFD || call.args[1] == F_DUPFD_CLOEXEC) ForgetResult(call);
}

void ForgetNamespace(Call& call) {
  if (call.args[1] == SIOCGSKNS) ForgetResult(call);
}

// It ends by itself with the thread that spawned it; its remains would stay.
void ForgetProgram(Call& call) {
  const auto* child = reinterpret_cast<const int*>(call.args[5]);
  const int pidfd = child[1];
  syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
  siginfo_t info;
  while (waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED) != 0 && errno == EINTR) {
  }
  close(pidfd);
}

}  // namespace closewait::os
