// The system calls as functions: one call, one entry into the kernel, on the caller's thread.
#pragma once

#include <napi.h>

namespace closewait::glue {

// Adds one function per row of os::kCalls to `exports`. Each returns the kernel's result as a
// number, or -errno. `exports.calls` lists their names in the order of the rows.
//
// `exports.gates` has most of them once more, as functions that take no argument and return
// nothing: they find their arguments on a page of memory shared with JavaScript, and leave their
// result there. Handing over one argument by Node-API takes longer than all of that. On the page,
// as int32: {result, up to six values, length of the bytes}; in place of bytes or a string stands
// where on the page they begin. A place outside the page, or a string that does not end on it, is
// EFAULT. `exports.usePage(page: ArrayBuffer)` says
// which page it is from now on.
void ExportCalls(napi_env env, napi_value exports);

// `result` as a JavaScript number.
napi_value ToNumber(napi_env env, long result);

}  // namespace closewait::glue
