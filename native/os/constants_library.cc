// linux/errqueue.h leaves struct timespec to whoever includes it, and musl does not bring it along.
// clang-format off
#include <time.h>
// clang-format on
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/inet_diag.h>
#include <linux/net_tstamp.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/sock_diag.h>
#include <linux/socket.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "constants.h"
#include "constants_newer.h"

namespace closewait::os {
namespace {

const Constant kLibrary[] = {
#include "constants.inc"
#include "enumerators.inc"
    {"", 0}};

const Constant kErrnoRows[] = {
#include "errnos.inc"
    {"", 0}};

const Constant kSyscallRows[] = {
#include "syscalls.inc"
    {"", 0}};

const Constant kSizeRows[] = {
    {"epoll_event", sizeof(struct epoll_event)},
    {"ifreq", sizeof(struct ifreq)},
    {"siginfo", sizeof(siginfo_t)},
    {"sockaddr_storage", sizeof(struct sockaddr_storage)},
};

template <int N>
constexpr int Rows(const Constant (&)[N]) {
  return N - 1;  // the last row only keeps an empty list legal
}

}  // namespace

const ConstantTable kLibraryConstants = {kLibrary, Rows(kLibrary)};
const ConstantTable kErrnos = {kErrnoRows, Rows(kErrnoRows)};
const ConstantTable kSyscalls = {kSyscallRows, Rows(kSyscallRows)};
const ConstantTable kSizes = {kSizeRows, sizeof(kSizeRows) / sizeof(kSizeRows[0])};

const char* ErrnoText(int number) { return strerror(number); }

}  // namespace closewait::os
