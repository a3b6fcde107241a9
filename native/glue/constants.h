// What the system's headers say, for JavaScript.
#pragma once

#include <napi.h>

namespace closewait::glue {

// Adds `constants` {AF_INET: 2, ...}, `errnos` {EPERM: [1, 'Operation not permitted'], ...},
// `syscalls` {0: 'read', ...} and `sizes` {epoll_event: 12, ...} to `exports`.
void ExportConstants(napi_env env, napi_value exports);

}  // namespace closewait::glue
