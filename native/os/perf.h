// perf_event_open(2) and the ioctls of its descriptors, one row of kCalls each.
#pragma once

#include "call.h"

namespace closewait::os {

// Takes a struct perf_event_attr, pid, cpu, group descriptor and flags; returns a descriptor.
// -EINVAL if the struct's own `size` says more than the bytes there are.
long PerfEventOpen(Call& call);

// PERF_EVENT_IOC_SET_BPF, PERF_EVENT_IOC_SET_OUTPUT: descriptor, other descriptor.
long PerfSetBpf(Call& call);
long PerfSetOutput(Call& call);

// PERF_EVENT_IOC_SET_FILTER: descriptor, the filter's text.
long PerfSetFilter(Call& call);

}  // namespace closewait::os
