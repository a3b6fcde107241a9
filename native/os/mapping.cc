#include "mapping.h"

#include <errno.h>
#include <sys/mman.h>

namespace closewait::os {

long Map(int fd, size_t length, long offset, bool writable, void** address) {
  int protection = PROT_READ | (writable ? PROT_WRITE : 0);
  *address = mmap(nullptr, length, protection, MAP_SHARED, fd, offset);
  return *address == MAP_FAILED ? -errno : 0;
}

void Unmap(void* address, size_t length) { munmap(address, length); }

}  // namespace closewait::os
