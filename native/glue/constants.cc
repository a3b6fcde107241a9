#include "constants.h"

#include "../os/constants.h"

namespace closewait::glue {

void ExportConstants(Napi::Env env, Napi::Object exports) {
  Napi::Object constants = Napi::Object::New(env);
  // The C library's headers have the last word: they are what a C program includes first.
  for (const os::ConstantTable& table : {os::kKernelConstants, os::kLibraryConstants}) {
    for (int i = 0; i < table.count; i++) {
      constants.Set(table.rows[i].name, static_cast<double>(table.rows[i].value));
    }
  }
  exports.Set("constants", constants);

  Napi::Object errnos = Napi::Object::New(env);
  for (int i = 0; i < os::kErrnos.count; i++) {
    Napi::Array row = Napi::Array::New(env, 2);
    row.Set(0u, static_cast<double>(os::kErrnos.rows[i].value));
    row.Set(1u, os::ErrnoText(static_cast<int>(os::kErrnos.rows[i].value)));
    errnos.Set(os::kErrnos.rows[i].name, row);
  }
  exports.Set("errnos", errnos);

  Napi::Object syscalls = Napi::Object::New(env);
  for (int i = 0; i < os::kSyscalls.count; i++) {
    syscalls.Set(static_cast<uint32_t>(os::kSyscalls.rows[i].value), os::kSyscalls.rows[i].name);
  }
  exports.Set("syscalls", syscalls);

  Napi::Object sizes = Napi::Object::New(env);
  for (int i = 0; i < os::kSizes.count; i++) {
    sizes.Set(os::kSizes.rows[i].name, static_cast<double>(os::kSizes.rows[i].value));
  }
  exports.Set("sizes", sizes);
}

}  // namespace closewait::glue
