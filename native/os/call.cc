#include "call.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>

#include "calls.h"
#include "constants_newer.h"

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

namespace {

// Where struct tcp_ao_getsockopt has `nkeys`; older headers lack it.
constexpr size_t kKeyCount = sizeof(struct sockaddr_storage) + 64 + 80;

// An option whose answer is as long as a number in the question says, whatever length the kernel is
// given.
enum class Counted : unsigned char { kNot, kSources, kGroupSources, kKeys };

Counted CountedOf(long level, long name) {
  if (level == IPPROTO_IP && name == IP_MSFILTER) return Counted::kSources;
  if ((level == IPPROTO_IP || level == IPPROTO_IPV6) && name == MCAST_MSFILTER) {
    return Counted::kGroupSources;
  }
  if (level == IPPROTO_TCP && name == TCP_AO_GET_KEYS) return Counted::kKeys;
  return Counted::kNot;
}

size_t NumberAt(const char* bytes, size_t offset) {
  uint32_t number;
  memcpy(&number, bytes + offset, sizeof(number));
  return number;
}

// How far the kernel may write for this question. One too short to have a number goes to the
// kernel, which refuses it.
size_t AnswerLength(Counted option, const char* question, size_t length) {
  switch (option) {
    case Counted::kSources:
      if (length < IP_MSFILTER_SIZE(0)) return length;
      return IP_MSFILTER_SIZE(NumberAt(question, offsetof(struct ip_msfilter, imsf_numsrc)));
    case Counted::kGroupSources:
      if (length < GROUP_FILTER_SIZE(0)) return length;
      return GROUP_FILTER_SIZE(NumberAt(question, offsetof(struct group_filter, gf_numsrc)));
    case Counted::kKeys: {
      // The kernel takes the length for that of each key, and leaves their number even beyond it.
      constexpr size_t kShortest = kKeyCount + sizeof(uint32_t);
      return length < kShortest ? kShortest : NumberAt(question, kKeyCount) * length;
    }
    case Counted::kNot:
      return length;
  }
  return length;
}

// On a copy: another thread may write to the question after the check and before the kernel.
long GetCountedOption(Counted option, Call& call) {
  size_t length = call.capacity;
  auto* question = reinterpret_cast<char*>(call.args[3]);
  std::unique_ptr<char[]> copy(new (std::nothrow) char[length]);
  if (copy == nullptr) return -ENOMEM;
  std::copy_n(question, length, copy.get());
  if (AnswerLength(option, copy.get(), length) > length) return -EINVAL;
  call.args[3] = reinterpret_cast<long>(copy.get());
  long result = Invoke(&call.cancelled, SYS_getsockopt, call.args);
  call.args[3] = reinterpret_cast<long>(question);
  if (result >= 0) std::copy_n(copy.get(), length, question);
  return result;
}

}  // namespace

long GetSocketOption(Call& call) {
  Counted option = CountedOf(call.args[1], call.args[2]);
  if (option != Counted::kNot) return GetCountedOption(option, call);
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
