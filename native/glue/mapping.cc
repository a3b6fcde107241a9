#include "mapping.h"

#include <errno.h>

#include <cmath>

#include "../os/mapping.h"
#include "calls.h"
#include "object.h"
#include "throw.h"

namespace closewait::glue {
namespace {

// The longest array that every Node makes: a longer one fails when it has taken the memory already.
constexpr double kLongest = 1ull << 32;
constexpr double kFarthest = 1ull << 40;

struct Region {
  void* address;
  size_t length;
};

// The one way out of a mapping: the buffer's memory goes when V8 lets go of it, which detaching
// brings about at once and collection at some time.
void Release(napi_env, void*, void* hint) {
  auto* region = static_cast<Region*>(hint);
  os::Unmap(region->address, region->length);
  delete region;
}

napi_value Map(napi_env env, napi_callback_info info) {
  napi_value values[4];
  size_t count = 4;
  napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  static const char* const kNames[] = {"fd", "length", "offset"};
  double numbers[3];
  for (int i = 0; i < 3; i++) {
    if (napi_get_value_double(env, values[i], &numbers[i]) != napi_ok) {
      ThrowType(env, "mmap", kNames[i], "an integer", values[i]);
      return nullptr;
    }
    double least = i == 0 ? -2147483648.0 : i == 1 ? 1 : 0;
    double most = i == 0 ? 2147483647.0 : i == 1 ? kLongest : kFarthest;
    if (!(numbers[i] >= least && numbers[i] <= most && std::trunc(numbers[i]) == numbers[i])) {
      ThrowRange(env, "mmap", kNames[i], "an integer in range", values[i]);
      return nullptr;
    }
  }
  bool writable = false;
  if (napi_get_value_bool(env, values[3], &writable) != napi_ok) {
    ThrowType(env, "mmap", "writable", "a boolean", values[3]);
    return nullptr;
  }
  auto* region = new Region{nullptr, static_cast<size_t>(numbers[1])};
  long result = os::Map(static_cast<int>(numbers[0]), region->length, static_cast<long>(numbers[2]),
                        writable, &region->address);
  if (result < 0) {
    delete region;
    return ToNumber(env, result);
  }
  napi_value buffer = nullptr;
  if (napi_create_external_arraybuffer(env, region->address, region->length, Release, region,
                                       &buffer) != napi_ok) {
    Release(env, nullptr, region);
    return ToNumber(env, -ENOTSUP);
  }
  return buffer;
}

napi_value Unmap(napi_env env, napi_callback_info info) {
  napi_value buffer = nullptr;
  size_t count = 1;
  napi_get_cb_info(env, info, &count, &buffer, nullptr, nullptr);
  return NewBoolean(env, napi_detach_arraybuffer(env, buffer) == napi_ok);
}

}  // namespace

void ExportMapping(napi_env env, napi_value exports) {
  Set(env, exports, "mmap", Map);
  Set(env, exports, "munmap", Unmap);
}

}  // namespace closewait::glue
