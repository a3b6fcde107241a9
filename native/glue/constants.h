// What the system's headers say, for JavaScript.
#pragma once

#include <napi.h>

namespace closewait::glue {

// Adds `constants` {AF_INET: 2, ...}, `errnos` {EPERM: [1, 'Operation not permitted'], ...},
// `syscalls` {0: 'read', ...} and `sizes` {epoll_event: 12, ...} to `exports`.
void ExportConstants(Napi::Env env, Napi::Object exports);

}  // namespace closewait::glue
