// The system calls as functions: one call, one entry into the kernel, on the caller's thread.
#pragma once

#include <napi.h>

namespace closewait::glue {

// Adds one function per row of os::kCalls to `exports`. Each returns the kernel's result as a
// number, or -errno. `exports.calls` lists their names in the order of the rows.
void ExportCalls(Napi::Env env, Napi::Object exports);

// `result` as a JavaScript number.
napi_value ToNumber(napi_env env, long result);

}  // namespace closewait::glue
