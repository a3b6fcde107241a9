#include "calls.h"

#include <errno.h>
#include <string.h>

#include <string_view>
#include <utility>

#include "arguments.h"
#include "environment.h"
#include "object.h"
#include "throw.h"

namespace closewait::glue {
namespace {

template <int kRow>
napi_value Enter(napi_env env, napi_callback_info info) {
  constexpr const os::CallSpec& kSpec = os::kCalls[kRow];
  constexpr size_t kValues = ValuesOf(kSpec);
  napi_value values[kValues + 1];
  if constexpr (kValues > 0) {
    size_t count = kValues;
    napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  }
  struct iovec vectors[TakesVectors(kSpec) ? os::kVectors : 1];
  os::Call call;
  if (!ParseArguments<kRow>(env, values, nullptr, vectors, call)) return nullptr;
  os::Perform(kSpec, call);
  return ToNumber(env, call.result);
}

using os::Arg;
using os::CallSpec;

constexpr bool IsPointer(Arg kind) {
  return kind == Arg::kIn || kind == Arg::kOut || kind == Arg::kInOut || kind == Arg::kString;
}

// The calls that are made in loops so tight that the crossing shows: where that is not measured, a
// second way in is not worth its existence.
constexpr bool HasGate(const CallSpec& spec) {
  using namespace std::string_view_literals;
  for (std::string_view name : {"getsockopt"sv, "readlinkat"sv, "socket"sv, "connect"sv, "accept"sv,
                                "read"sv, "write"sv, "shutdown"sv, "close"sv}) {
    if (name == spec.name) return true;
  }
  return false;
}

// The place of a parameter's value on the page.
constexpr int PlaceOf(const CallSpec& spec, size_t parameter) {
  int place = 0;
  for (size_t i = 0; i < parameter; i++) place += ValuesOf(spec.parameters[i].kind);
  return place;
}

template <int kRow, size_t kAt>
[[gnu::always_inline]] inline long ArgumentOf(Page* page, os::Call& call) {
  constexpr os::Parameter kParameter = os::kCalls[kRow].parameters[kAt];
  switch (kParameter.kind) {
    case Arg::kInt:
      return page->values[PlaceOf(os::kCalls[kRow], kAt)];
    case Arg::kUnsigned:
      return static_cast<uint32_t>(page->values[PlaceOf(os::kCalls[kRow], kAt)]);
    case Arg::kLength:
      return page->length;
    case Arg::kCapacity:
      call.capacity = page->length;
      return reinterpret_cast<long>(&call.capacity);
    case Arg::kNull:
      return 0;
    default:
      return reinterpret_cast<long>(page) + page->values[PlaceOf(os::kCalls[kRow], kAt)];
  }
}

// Whether what begins at `start` lies on the page: a string with its end, or bytes that are as many
// as the kernel may write.
[[gnu::always_inline]] inline bool Fits(const Environment& environment,
                                        const os::Parameter& parameter, uint32_t start) {
  if (start < sizeof(Page) || start > environment.page_size) return false;
  size_t room = environment.page_size - start;
  if (parameter.kind == Arg::kString) {
    return memchr(reinterpret_cast<const char*>(environment.page) + start, '\0', room) != nullptr;
  }
  uint32_t length = environment.page->length;
  return length >= parameter.minimum && length <= room;
}

// Whether there is a page, and every pointer of the call would lead to it.
template <int kRow>
[[gnu::always_inline]] inline bool Fits(const Environment& environment) {
  constexpr const CallSpec& kSpec = os::kCalls[kRow];
  if (environment.page == nullptr) return false;
  for (size_t i = 0; i < ParametersOf(kSpec); i++) {
    if (!IsPointer(kSpec.parameters[i].kind)) continue;
    auto start = static_cast<uint32_t>(environment.page->values[PlaceOf(kSpec, i)]);
    if (!Fits(environment, kSpec.parameters[i], start)) return false;
  }
  return true;
}

template <int kRow>
napi_value Pass(napi_env env, napi_callback_info) {
  constexpr const CallSpec& kSpec = os::kCalls[kRow];
  const Environment& environment = EnvironmentOf(env);
  if (environment.page == nullptr) return nullptr;  // nowhere to leave a result
  if (!Fits<kRow>(environment)) {
    environment.page->result = -EFAULT;
    return nullptr;
  }
  os::Call call;
  [&]<size_t... kAt> [[gnu::always_inline]] (std::index_sequence<kAt...>) {
    ((call.args[kAt] = ArgumentOf<kRow, kAt>(environment.page, call)), ...);
  }
  (std::make_index_sequence<ParametersOf(kSpec)>());
  os::Perform(kSpec, call);
  environment.page->result = static_cast<int32_t>(call.result);
  return nullptr;
}

napi_value UsePage(napi_env env, napi_callback_info info) {
  napi_value buffer = nullptr;
  size_t count = 1;
  napi_get_cb_info(env, info, &count, &buffer, nullptr, nullptr);
  void* data = nullptr;
  size_t size = 0;
  if (napi_get_arraybuffer_info(env, buffer, &data, &size) != napi_ok || size < sizeof(Page)) {
    ThrowType(env, "usePage", "page", "an ArrayBuffer with room for a page", buffer);
    return nullptr;
  }
  Environment& environment = EnvironmentOf(env);
  environment.page_buffer = Napi::Persistent(Napi::ArrayBuffer(env, buffer));
  environment.page = static_cast<Page*>(data);
  environment.page_size = size;
  return nullptr;
}

// %TypedArray%.prototype.keys, or null where JavaScript may no longer run.
napi_value TypedArrayKeys(napi_env env) {
  napi_value global = nullptr;
  napi_get_global(env, &global);
  napi_value bytes = Get(env, Get(env, global, "Uint8Array"), "prototype");
  napi_value arrays = nullptr;
  if (bytes != nullptr) napi_get_prototype(env, bytes, &arrays);
  return Get(env, arrays, "keys");
}

template <int kRow>
void ExportRow(napi_env env, napi_value exports, napi_value gates, napi_value names) {
  const char* name = os::kCalls[kRow].name;
  Set(env, exports, name, Enter<kRow>);
  if constexpr (HasGate(os::kCalls[kRow])) Set(env, gates, name, Pass<kRow>);
  Set(env, names, static_cast<uint32_t>(kRow), NewString(env, name));
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

void ExportCalls(napi_env env, napi_value exports) {
  napi_value gates = NewObject(env);
  napi_value names = NewArray(env, os::kCallCount);
  [&]<int... kRow>(std::integer_sequence<int, kRow...>) {
    (ExportRow<kRow>(env, exports, gates, names), ...);
  }
  (std::make_integer_sequence<int, os::kCallCount>());
  auto* environment = new Environment{.env = env};
  napi_value keys = TypedArrayKeys(env);
  if (keys != nullptr) environment->typed_array_keys = Napi::Persistent(Napi::Function(env, keys));
  Adopt(environment);
  Set(env, exports, "usePage", UsePage);
  Set(env, exports, "gates", gates);
  Set(env, exports, "calls", names);
}

}  // namespace closewait::glue
