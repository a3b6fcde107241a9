// The kernel's own headers define structs that the C library's define too, hence a file apart.
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>
#include <linux/wait.h>

#include "constants.h"
#include "constants_newer.h"

namespace closewait::os {
namespace {

const Constant kKernel[] = {
#include "constants.inc"
#include "kernel_enumerators.inc"
    {"", 0}};

}  // namespace

const ConstantTable kKernelConstants = {kKernel, sizeof(kKernel) / sizeof(kKernel[0]) - 1};

}  // namespace closewait::os
