// One system call at rest: which, with what arguments, and what came back.
#pragma once

#include <errno.h>
#include <linux/filter.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "invoke.h"

namespace closewait::os {

// How JavaScript's arguments become the kernel's. The kinds in the second half take no argument of
// their own: they follow from the bytes before them or are always the same.
enum class Arg : unsigned char {
  kEnd,
  kInt,         // int32
  kUnsigned,    // uint32
  kOffset,      // off_t, as far as a double has every integer
  kIn,          // const void *: bytes the kernel reads
  kOut,         // void *: bytes the kernel writes
  kInOut,       // void *: both
  kString,      // const char *: bytes that end in NUL
  kVectorIn,    // const struct iovec *, int: several buffers the kernel reads
  kVectorOut,   // const struct iovec *, int: several buffers the kernel writes
  kMessageIn,   // struct msghdr *: buffers, control or null, name or null
  kMessageOut,  // struct msghdr *: buffers, control or null, name or null, Int32Array(3) for
                // {control length, name length, flags}
  kFilter,      // struct sock_fprog *, its size: an array of struct sock_filter
  kEpollEvent,  // struct epoll_event *: events, data
  kFcntl,       // int: a command whose third argument is not a pointer
  kIoctl,       // unsigned long: a request whose argument's size is known
  kReceive,     // int: MSG_ flags; with MSG_TRUNC the result may count bytes that were not written

  kLength,    // size_t: the length of the bytes before it
  kCapacity,  // socklen_t *: the same, and where the kernel says how much it used
  kPolls,     // nfds_t: how many struct pollfd the bytes before it hold
  kEpolls,    // int: how many struct epoll_event the bytes before it hold
  kNull,      // NULL or 0
  kCwd,       // AT_FDCWD
};

struct Parameter {
  Arg kind;
  const char* name;  // as the manual page spells it
  unsigned minimum;  // the fewest bytes the kernel may write or read there
};

struct Call;

// The row of a system call. `perform` is null for all that are one kernel entry.
struct CallSpec {
  const char* name;
  long number;
  Parameter parameters[8];
  bool returns_capacity;        // the result is what the kernel wrote through kCapacity
  bool writes_result;           // only the first `result` bytes of the output are meaningful
  long (*perform)(Call& call);  // for what needs more than one entry (spawn)
  void (*forget)(Call& call);   // closes what the call has opened; null: it opens nothing
};

inline constexpr int kVectors = 64;  // buffers a readv, writev, sendmsg or recvmsg may take here

// The arguments as the kernel wants them. Pointers lead to storage in this struct or to bytes that
// the owner of the call keeps alive and in place until the call has returned.
//
// Only what every call needs is set at first: on the way of a call that takes a microsecond, zeroes
// that nobody reads show.
struct Call {
  const CallSpec* spec;
  long args[6] = {};
  long result;
  CancelFlag cancelled = 0;
  socklen_t capacity;
  long lengths[6];  // the length of the bytes an argument points to
  struct msghdr message;
  int* message_lengths;  // where recvmsg's {control, name, flags} go
  struct sock_fprog filter;
  struct epoll_event event;
};

// Makes the call of row `spec` and stores its result, or -errno; -ECANCELED if it was cancelled and
// did nothing.
inline void Perform(const CallSpec& spec, Call& call) {
  long result = spec.perform != nullptr ? spec.perform(call)
                                        : Invoke(&call.cancelled, spec.number, call.args);
  if (result == -EINTR && call.cancelled != 0) result = -ECANCELED;
  if (result >= 0 && spec.returns_capacity) result = call.capacity;
  call.result = result;
}

// Whether fcntl(2)'s third argument is an integer for `command`, so that no number from JavaScript
// can become a pointer.
bool IsIntegerFcntl(int command);

// How many bytes ioctl(2) `request` reads or writes, or 0 if it is not one of those known here:
// the kernel would write past a buffer whose size it cannot know.
unsigned IoctlSize(unsigned long request);

}  // namespace closewait::os
