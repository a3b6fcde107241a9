// Several system calls in one crossing, with the clock read between them.
#pragma once

#include "call.h"

namespace closewait::os {

// What a step of a sequence does with its descriptor and its two numbers. A descriptor below 0 is
// the result of an earlier step: -1 that of the first, -2 that of the second.
enum SequenceStep : int {
  kReadClock,   // CLOCK_MONOTONIC through the vDSO into the next stamp; result 0
  kCloseStep,   // close(fd)
  kShutdown,    // shutdown(fd, a)
  kReadStep,    // read(fd, bytes, a)
  kWriteStep,   // write(fd, bytes, a)
  kOptionStep,  // getsockopt(fd, a, b, &value): the value, an int
  kGetTid,      // gettid(): the cheapest call there is
  kSocket,      // socket(fd, a, b)
  kConnect,     // connect(fd, bytes, a)
  kAccept,      // accept4(fd, NULL, NULL, a)
  kSetOption,   // setsockopt(fd, a, b, bytes, 8 or as many as there are)
  kSequenceSteps
};

// sequence(steps, bytes, results, stamps): makes the calls of `steps`, four ints each
// (SequenceStep, fd, a, b), one after the other, whatever they return. Each leaves what it
// returned, or -errno, in `results`, an int a step; each reading of the clock leaves nanoseconds in
// `stamps`, an int64.
//
// Returns how many steps were made; or -EINVAL, and then none was made, where a step is unknown,
// there is no room for what it leaves, or an array does not begin where its numbers may. (Steps
// that change while they are made, because they lie in `bytes`, end with -EINVAL where they are.)
long Sequence(Call& call);

}  // namespace closewait::os
