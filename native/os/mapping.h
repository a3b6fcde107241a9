// Memory shared with the kernel: the rings of packet(7), perf_event_open(2) and bpf(2).
#pragma once

#include <cstddef>

namespace closewait::os {

// mmap(MAP_SHARED) of `length` bytes of `fd` from `offset`, to read or, if `writable`, also to
// write. Stores the address and returns 0, or returns -errno.
long Map(int fd, size_t length, long offset, bool writable, void** address);

void Unmap(void* address, size_t length);

}  // namespace closewait::os
