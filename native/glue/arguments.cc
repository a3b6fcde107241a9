#include "arguments.h"

#include "environment.h"
#include "throw.h"

namespace closewait::glue {

using os::Arg;
using os::Parameter;

namespace {

constexpr const char* kFitsMemory = "small enough for the memory there is";

const char* Expected(Arg kind) {
  switch (kind) {
    case Arg::kInt:
    case Arg::kReceive:
      return "an integer from -2147483648 to 2147483647";
    case Arg::kUnsigned:
      return "an integer from 0 to 4294967295";
    case Arg::kOffset:
      return "an integer from -9007199254740991 to 9007199254740991";
    default:
      return "an integer";
  }
}

}  // namespace

void Arguments::RefuseType(const Parameter& parameter, napi_value value) {
  ThrowType(env_, call_.spec->name, parameter.name, Expected(parameter.kind), value);
}

void Arguments::RefuseRange(const Parameter& parameter, napi_value value) {
  ThrowRange(env_, call_.spec->name, parameter.name, Expected(parameter.kind), value);
}

bool Arguments::KnownFcntl(const Parameter& parameter) {
  return os::IsIntegerFcntl(static_cast<int>(call_.args[filled_ - 1])) ||
         ThrowRange(env_, call_.spec->name, parameter.name,
                    "a command whose argument is an integer", next_[-1]);
}

bool Arguments::KnownIoctl(const Parameter& parameter) {
  ioctl_size_ = os::IoctlSize(static_cast<unsigned long>(call_.args[filled_ - 1]));
  return ioctl_size_ != 0 || ThrowRange(env_, call_.spec->name, parameter.name,
                                        "a request whose argument's size is known here", next_[-1]);
}

bool Arguments::IsDetached(napi_value array) {
  napi_typedarray_type type;
  napi_value buffer = nullptr;
  size_t elements = 0;
  void* data = nullptr;
  bool detached = false;
  return napi_get_typedarray_info(env_, array, &type, &elements, &data, &buffer, nullptr) ==
             napi_ok &&
         napi_is_detached_arraybuffer(env_, buffer, &detached) == napi_ok && detached;
}

// Whether its buffer was detached, or was made too short for it: to Node-API, an empty array.
bool Arguments::IsGone(napi_value array) {
  napi_value keys = EnvironmentOf(env_).typed_array_keys.Value();
  napi_value result = nullptr;
  if (napi_call_function(env_, array, keys, 0, nullptr, &result) == napi_ok) return false;
  napi_get_and_clear_last_exception(env_, &result);
  return true;
}

void Arguments::RefuseView(const Parameter& parameter, napi_value value, bool is_array) {
  const char* call = call_.spec->name;
  if (!is_array) {
    ThrowType(env_, call, parameter.name, "a typed array", value);
  } else if (IsDetached(value)) {
    ThrowType(env_, call, parameter.name, "a typed array that is not detached", value);
  } else if (IsGone(value)) {
    ThrowType(env_, call, parameter.name, "a typed array that its buffer is long enough for",
              value);
  } else {
    ThrowRange(env_, call, parameter.name, "as long as what the kernel writes there", value);
  }
}

void Arguments::RefuseKeep(const Parameter& parameter, napi_value value) {
  ThrowRange(env_, call_.spec->name, parameter.name, kFitsMemory, value);
}

bool Arguments::String(const Parameter& parameter) {
  napi_value value = *next_++;
  if (!View(parameter, value, &last_)) return false;
  const char* text = static_cast<const char*>(last_.data);
  if (last_.length == 0 || text[last_.length - 1] != '\0') {
    return ThrowRange(env_, call_.spec->name, parameter.name, "bytes that end in NUL", value);
  }
  if (!Keep(parameter, value, &last_, Flow::kIn, false)) return false;
  return Push(reinterpret_cast<long>(last_.data));
}

bool Arguments::Gather(const Parameter& parameter, Flow flow, uint32_t* count) {
  napi_value list = *next_++;
  if (napi_get_array_length(env_, list, count) != napi_ok) {
    return ThrowType(env_, call_.spec->name, parameter.name, "an array of typed arrays", list);
  }
  if (*count > os::kVectors) {
    return ThrowRange(env_, call_.spec->name, parameter.name, "an array of at most 64", list);
  }
  if (keeper_ != nullptr) vectors_ = keeper_->KeepVectors();
  if (vectors_ == nullptr) {
    RefuseKeep(parameter, list);
    return false;
  }
  // All elements before any address: an element may be a getter, and a getter can move bytes.
  napi_value elements[os::kVectors];
  for (uint32_t i = 0; i < *count; i++) {
    if (napi_get_element(env_, list, i, &elements[i]) != napi_ok) return false;
  }
  for (uint32_t i = 0; i < *count; i++) {
    Bytes bytes;
    if (!View(parameter, elements[i], &bytes) ||
        !Keep(parameter, elements[i], &bytes, flow, true)) {
      return false;
    }
    vectors_[i] = {bytes.data, bytes.length};
  }
  return true;
}

bool Arguments::Vectors(const Parameter& parameter, Flow flow) {
  uint32_t count = 0;
  if (!Gather(parameter, flow, &count)) return false;
  return Push(reinterpret_cast<long>(vectors_)) && Push(count);
}

bool Arguments::Optional(const Parameter& parameter, Flow flow, Bytes* bytes) {
  napi_value value = *next_++;
  napi_valuetype type = napi_undefined;
  napi_typeof(env_, value, &type);
  if (type == napi_null) return true;
  return View(parameter, value, bytes) && Keep(parameter, value, bytes, flow, false);
}

bool Arguments::Message(const Parameter& parameter, Flow flow) {
  uint32_t count = 0;
  Bytes control;
  Bytes name;
  if (!Gather(parameter, flow, &count) || !Optional({Arg::kIn, "control", 0}, flow, &control) ||
      !Optional({Arg::kIn, "name", 0}, flow, &name)) {
    return false;
  }
  call_.message = {};
  call_.message.msg_iov = vectors_;
  call_.message.msg_iovlen = count;
  call_.message.msg_control = control.data;
  call_.message.msg_controllen = control.length;
  call_.message.msg_name = name.data;
  call_.message.msg_namelen = static_cast<socklen_t>(name.length);
  if (flow == Flow::kOut) {
    Parameter lengths = {Arg::kOut, "lengths", 3 * sizeof(int)};
    napi_value value = *next_++;
    Bytes bytes;
    if (!View(lengths, value, &bytes) || !Keep(lengths, value, &bytes, Flow::kOut, false)) {
      return false;
    }
    call_.message_lengths = static_cast<int*>(bytes.data);
  }
  return Push(reinterpret_cast<long>(&call_.message));
}

bool Arguments::Filter(const Parameter& parameter) {
  napi_value value = *next_++;
  if (!View(parameter, value, &last_)) return false;
  size_t instructions = last_.length / sizeof(struct sock_filter);
  if (instructions > BPF_MAXINSNS || last_.length % sizeof(struct sock_filter) != 0) {
    return ThrowRange(env_, call_.spec->name, parameter.name,
                      "at most 4096 instructions of 8 bytes each", value);
  }
  if (!Keep(parameter, value, &last_, Flow::kIn, false)) return false;
  call_.filter.len = static_cast<unsigned short>(instructions);
  call_.filter.filter = static_cast<struct sock_filter*>(last_.data);
  return Push(reinterpret_cast<long>(&call_.filter)) && Push(sizeof(call_.filter));
}

bool Arguments::EpollEvent() {
  double events = 0;
  double data = 0;
  if (!Number({Arg::kUnsigned, "events", 0}, 0, UINT32_MAX, &events) ||
      !Number({Arg::kUnsigned, "data", 0}, 0, UINT32_MAX, &data)) {
    return false;
  }
  call_.event.events = static_cast<uint32_t>(events);
  call_.event.data.u64 = static_cast<uint64_t>(data);
  return Push(reinterpret_cast<long>(&call_.event));
}

}  // namespace closewait::glue
