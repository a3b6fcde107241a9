// Memory shared with the kernel, as an ArrayBuffer.
#pragma once

#include <napi.h>

namespace closewait::glue {

// mmap(fd, length, offset, writable): ArrayBuffer, or -errno
// munmap(buffer): boolean          detaches the buffer first, so that no view can reach the memory;
//                                  false if it was not mapped here or is gone already
//
// A buffer that is forgotten is unmapped when it is collected.
void ExportMapping(napi_env env, napi_value exports);

}  // namespace closewait::glue
