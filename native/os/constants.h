// Names and values from the system's headers. The names are those src/syscall/constants.ts exports;
// constants.mjs turns them into rows at build time, and the compiler gives the values. A name that
// the headers here do not have is absent.
#pragma once

namespace closewait::os {

struct Constant {
  const char* name;
  long long value;
};

struct ConstantTable {
  const Constant* rows;
  int count;
};

extern const ConstantTable kLibraryConstants;  // from the C library's headers
extern const ConstantTable kKernelConstants;   // from the kernel's own: they cannot be mixed
extern const ConstantTable kErrnos;
extern const ConstantTable kSyscalls;
extern const ConstantTable kSizes;  // of structs that JavaScript lays out itself

// strerror(3) in the C locale's words.
const char* ErrnoText(int number);

}  // namespace closewait::os
