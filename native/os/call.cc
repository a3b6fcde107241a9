#include "call.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "calls.h"

namespace closewait::os {

// inet_pton(3): 1, or 0 if the text is no address of that family.
long PresentationToNetwork(Call& call) {
  int known = inet_pton(static_cast<int>(call.args[0]), reinterpret_cast<const char*>(call.args[1]),
                        reinterpret_cast<void*>(call.args[2]));
  return known < 0 ? -EAFNOSUPPORT : known;
}

// inet_ntop(3): the length of the text.
long NetworkToPresentation(Call& call) {
  if (call.args[0] == AF_INET6 && call.lengths[1] < 16) return -EINVAL;
  char* text = reinterpret_cast<char*>(call.args[2]);
  if (inet_ntop(static_cast<int>(call.args[0]), reinterpret_cast<const void*>(call.args[1]), text,
                INET6_ADDRSTRLEN) == nullptr) {
    return -errno;
  }
  return static_cast<long>(strlen(text));
}

long ReceiveMessage(Call& call) {
  long length = Invoke(&call.cancelled, call.spec->number, call.args);
  if (length < 0) return length;
  call.message_lengths[0] = static_cast<int>(call.message.msg_controllen);
  call.message_lengths[1] = static_cast<int>(call.message.msg_namelen);
  call.message_lengths[2] = call.message.msg_flags;
  return length;
}

long GetSocketOption(Call& call) {
  // SO_GET_FILTER counts instructions: given bytes, the kernel would write eight times as many.
  if (call.args[1] == SOL_SOCKET && call.args[2] == SO_GET_FILTER) {
    call.capacity /= sizeof(struct sock_filter);
  }
  return Invoke(&call.cancelled, SYS_getsockopt, call.args);
}

bool IsIntegerFcntl(int command) {
  switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
    case F_GETFD:
    case F_SETFD:
    case F_GETFL:
    case F_SETFL:
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
      return true;
    default:
      return false;
  }
}

unsigned IoctlSize(unsigned long request) {
  switch (request) {
    case SIOCINQ:
    case SIOCOUTQ:
    case SIOCOUTQNSD:
    case SIOCATMARK:
    case FIONBIO:
    case SIOCGSKNS:  // reads nothing, and writes nothing
      return sizeof(int);
    case SIOCGIFFLAGS:
    case SIOCSIFFLAGS:
    case SIOCGIFINDEX:
    case SIOCGIFHWADDR:
    case SIOCGIFMTU:
    case SIOCSIFMTU:
    case SIOCGIFADDR:
    case SIOCSIFADDR:
    case SIOCSIFNETMASK:
      return sizeof(struct ifreq);
    default:
      return 0;
  }
}

}  // namespace closewait::os
