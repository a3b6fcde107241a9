#include "constants.h"

#include "../os/constants.h"
#include "object.h"

namespace closewait::glue {

void ExportConstants(napi_env env, napi_value exports) {
  napi_value constants = NewObject(env);
  // The C library's headers have the last word: they are what a C program includes first.
  for (const os::ConstantTable& table : {os::kKernelConstants, os::kLibraryConstants}) {
    for (int i = 0; i < table.count; i++) {
      double value = static_cast<double>(table.rows[i].value);
      Set(env, constants, table.rows[i].name, NewNumber(env, value));
    }
  }
  Set(env, exports, "constants", constants);

  napi_value errnos = NewObject(env);
  for (int i = 0; i < os::kErrnos.count; i++) {
    int number = static_cast<int>(os::kErrnos.rows[i].value);
    napi_value row = NewArray(env, 2);
    Set(env, row, 0u, NewNumber(env, number));
    Set(env, row, 1u, NewString(env, os::ErrnoText(number)));
    Set(env, errnos, os::kErrnos.rows[i].name, row);
  }
  Set(env, exports, "errnos", errnos);

  napi_value syscalls = NewObject(env);
  for (int i = 0; i < os::kSyscalls.count; i++) {
    auto number = static_cast<uint32_t>(os::kSyscalls.rows[i].value);
    Set(env, syscalls, number, NewString(env, os::kSyscalls.rows[i].name));
  }
  Set(env, exports, "syscalls", syscalls);

  napi_value sizes = NewObject(env);
  for (int i = 0; i < os::kSizes.count; i++) {
    double value = static_cast<double>(os::kSizes.rows[i].value);
    Set(env, sizes, os::kSizes.rows[i].name, NewNumber(env, value));
  }
  Set(env, exports, "sizes", sizes);
}

}  // namespace closewait::glue
