#include "sequence.h"

#include <errno.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstdint>

#include "calls.h"

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
  // For a filter the length is a number of instructions.
  if (step.a == SOL_SOCKET && step.b == SO_GET_FILTER) return -EINVAL;
  int value = 0;
  Call call;
  call.capacity = sizeof(value);
  const long args[6] = {fd, step.a, step.b, reinterpret_cast<long>(&value),
                        reinterpret_cast<long>(&call.capacity)};
  std::copy_n(args, 6, call.args);
  long result = GetSocketOption(call);
  return result < 0 ? static_cast<int>(result) : value;
}

// The bytes may be those of the steps, and another thread may write to them: what was checked is a
// copy, and the copy is what is made.
Step StepAt(const volatile int* steps, long i) {
  return {steps[4 * i], steps[4 * i + 1], steps[4 * i + 2], steps[4 * i + 3]};
}

bool Fits(const Step& step, long i, long bytes, long stamps_left) {
  if (step.what < 0 || step.what >= kSequenceSteps || step.fd < -i) return false;
  bool moves = step.what == kReadStep || step.what == kWriteStep || step.what == kConnect;
  if (moves && (step.a < 0 || step.a > bytes)) return false;
  return step.what != kReadClock || stamps_left > 0;
}

bool IsAligned(long address, size_t size) { return address % static_cast<long>(size) == 0; }

}  // namespace

long Sequence(Call& call) {
  const auto* steps = reinterpret_cast<const volatile int*>(call.args[0]);
  long bytes = call.args[1];
  auto* results = reinterpret_cast<int*>(call.args[2]);
  auto* stamp = reinterpret_cast<int64_t*>(call.args[3]);
  long count = call.lengths[0] / static_cast<long>(sizeof(Step));
  long stamps = call.lengths[3] / static_cast<long>(sizeof(int64_t));
  if (!IsAligned(call.args[0], sizeof(int)) || !IsAligned(call.args[2], sizeof(int)) ||
      !IsAligned(call.args[3], sizeof(int64_t)) ||
      call.lengths[2] < count * static_cast<long>(sizeof(int))) {
    return -EINVAL;
  }
  long left = stamps;
  for (long i = 0; i < count; i++) {
    const Step step = StepAt(steps, i);
    if (!Fits(step, i, call.lengths[1], left)) return -EINVAL;
    if (step.what == kReadClock) left--;
  }
  left = stamps;
  for (long i = 0; i < count; i++) {
    const Step step = StepAt(steps, i);
    if (!Fits(step, i, call.lengths[1], left)) return -EINVAL;
    int fd = step.fd < 0 ? results[-1 - step.fd] : step.fd;
    int result = 0;
    switch (step.what) {
      case kReadClock:
        *stamp++ = NowNs();
        left--;
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
      case kSetOption:
        result = Make(SYS_setsockopt, fd, step.a, step.b, bytes, std::min(call.lengths[1], 8L));
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
