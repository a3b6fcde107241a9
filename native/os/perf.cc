#include "perf.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>

namespace closewait::os {
namespace {

long Ioctl(Call& call, unsigned long request) {
  const long args[6] = {call.args[0], static_cast<long>(request), call.args[1]};
  return Invoke(&call.cancelled, SYS_ioctl, args);
}

}  // namespace

long PerfEventOpen(Call& call) {
  uint32_t size = 0;
  memcpy(&size, reinterpret_cast<char*>(call.args[0]) + offsetof(struct perf_event_attr, size),
         sizeof size);
  if (size > call.lengths[0]) return -EINVAL;
  return Invoke(&call.cancelled, SYS_perf_event_open, call.args);
}

long PerfSetBpf(Call& call) { return Ioctl(call, PERF_EVENT_IOC_SET_BPF); }

long PerfSetOutput(Call& call) { return Ioctl(call, PERF_EVENT_IOC_SET_OUTPUT); }

long PerfSetFilter(Call& call) { return Ioctl(call, PERF_EVENT_IOC_SET_FILTER); }

}  // namespace closewait::os
