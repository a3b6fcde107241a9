// What JavaScript sees, one line each.
#include <napi.h>

#include "glue/actor.h"
#include "glue/calls.h"
#include "glue/constants.h"
#include "glue/mapping.h"

namespace {

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  closewait::glue::ExportCalls(env, exports);      // socket, bind, ..., spawn; calls: their order
  closewait::glue::ExportConstants(env, exports);  // constants, errnos, syscalls, sizes
  closewait::glue::ExportMapping(env, exports);    // mmap, munmap
  closewait::glue::Actor::Export(env, exports);    // Actor
  return exports;
}

}  // namespace

NODE_API_MODULE(closewait, Initialize)
