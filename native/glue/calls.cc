#include "calls.h"

#include "arguments.h"

namespace closewait::glue {
namespace {

napi_value Enter(napi_env env, napi_callback_info info) {
  napi_value values[kMostArguments];
  size_t count = kMostArguments;
  void* row = nullptr;
  napi_get_cb_info(env, info, &count, values, nullptr, &row);
  if (count > kMostArguments) count = kMostArguments;

  struct iovec vectors[os::kVectors];
  os::Call call;
  call.vectors = vectors;
  Borrow borrow;
  if (!ParseArguments(env, *static_cast<const os::CallSpec*>(row), values, count, borrow, call)) {
    return nullptr;
  }
  os::Perform(call);
  return ToNumber(env, call.result);
}

}  // namespace

napi_value ToNumber(napi_env env, long result) {
  napi_value value = nullptr;
  if (result >= INT32_MIN && result <= INT32_MAX) {
    napi_create_int32(env, static_cast<int32_t>(result), &value);
  } else {
    napi_create_int64(env, result, &value);
  }
  return value;
}

void ExportCalls(Napi::Env env, Napi::Object exports) {
  Napi::Array names = Napi::Array::New(env, os::kCallCount);
  for (int i = 0; i < os::kCallCount; i++) {
    napi_value function = nullptr;
    napi_create_function(env, os::kCalls[i].name, NAPI_AUTO_LENGTH, Enter,
                         const_cast<os::CallSpec*>(&os::kCalls[i]), &function);
    exports.Set(os::kCalls[i].name, Napi::Value(env, function));
    names.Set(static_cast<uint32_t>(i), os::kCalls[i].name);
  }
  exports.Set("calls", names);
}

}  // namespace closewait::glue
