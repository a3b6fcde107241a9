#include "sequence.h"

#include <errno.h>
#include <sys/syscall.h>

#include <cstdint>

namespace closewait::os {
namespace {

struct Step {
  int what;
  int fd;
  int a;
  int b;
};

int64_t NowNs() {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int Make(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
  const long args[6] = {a, b, c, d, e, 0};
  return static_cast<int>(Invoke(number, args));
}

int Option(int fd, const Step& step) {
  int value = 0;
  socklen_t length = sizeof(value);
  int result = Make(SYS_getsockopt, fd, step.a, step.b, reinterpret_cast<long>(&value),
                    reinterpret_cast<long>(&length));
  return result < 0 ? result : value;
}

bool Fits(const Step* steps, long count, const long lengths[6]) {
  long stamps = 0;
  for (long i = 0; i < count; i++) {
    const Step& step = steps[i];
    if (step.what < 0 || step.what >= kSequenceSteps) return false;
    if (step.fd < -i) return false;
    bool moves = step.what == kReadStep || step.what == kWriteStep || step.what == kConnect;
    if (moves && (step.a < 0 || step.a > lengths[1])) return false;
    if (step.what == kReadClock) stamps++;
  }
  return lengths[2] >= count * static_cast<long>(sizeof(int)) &&
         lengths[3] >= stamps * static_cast<long>(sizeof(int64_t));
}

}  // namespace

long Sequence(Call& call) {
  const auto* steps = reinterpret_cast<const Step*>(call.args[0]);
  long bytes = call.args[1];
  auto* results = reinterpret_cast<int*>(call.args[2]);
  auto* stamp = reinterpret_cast<int64_t*>(call.args[3]);
  long count = call.lengths[0] / static_cast<long>(sizeof(Step));
  if (!Fits(steps, count, call.lengths)) return -EINVAL;
  for (long i = 0; i < count; i++) {
    const Step& step = steps[i];
    int fd = step.fd < 0 ? results[-1 - step.fd] : step.fd;
    int result = 0;
    switch (step.what) {
      case kReadClock:
        *stamp++ = NowNs();
        break;
      case kCloseStep:
        result = Make(SYS_close, fd);
        break;
      case kShutdown:
        result = Make(SYS_shutdown, fd, step.a);
        break;
      case kReadStep:
        result = Make(SYS_read, fd, bytes, step.a);
        break;
      case kWriteStep:
        result = Make(SYS_write, fd, bytes, step.a);
        break;
      case kOptionStep:
        result = Option(fd, step);
        break;
      case kSocket:
        result = Make(SYS_socket, fd, step.a, step.b);
        break;
      case kConnect:
        result = Make(SYS_connect, fd, bytes, step.a);
        break;
      case kAccept:
        result = Make(SYS_accept4, fd, 0, 0, step.a);
        break;
      case kGetTid:
        result = Make(SYS_gettid);
        break;
    }
    results[i] = result;
  }
  return count;
}

}  // namespace closewait::os
