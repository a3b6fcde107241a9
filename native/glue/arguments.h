// JavaScript's arguments -> the kernel's, by the row of the call.
#pragma once

#include <napi.h>

#include <cstddef>

#include "../os/call.h"

namespace closewait::glue {

// How the bytes of an argument reach the kernel.
enum class Flow { kIn, kOut, kInOut };

// Decides where the kernel finds the bytes of a typed array while a call is under way.
class Keeper {
 public:
  virtual ~Keeper() = default;

  // Returns where `length` bytes of `array`, now at `data`, are kept; null if there is no memory.
  // `payload`: of this region only the first `result` bytes will be meaningful.
  virtual void* Keep(napi_env env, napi_value array, void* data, size_t length, Flow flow,
                     bool payload) = 0;
};

// Leaves bytes where they are: for calls that return before JavaScript can run again.
class Borrow final : public Keeper {
 public:
  void* Keep(napi_env, napi_value, void* data, size_t, Flow, bool) override { return data; }
};

// Bytes an element of a typed array takes.
size_t ElementSize(napi_typedarray_type type);

inline constexpr size_t kMostArguments = 8;

// Fills `call` from `count` JavaScript values. False if one does not fit: then an error is pending.
// `call.vectors` must lead to os::kVectors of them.
bool ParseArguments(napi_env env, const os::CallSpec& spec, const napi_value* values, size_t count,
                    Keeper& keeper, os::Call& call);

}  // namespace closewait::glue
