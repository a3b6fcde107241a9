#include "arguments.h"

#include <fcntl.h>
#include <poll.h>

#include <cstdint>

#include "throw.h"

namespace closewait::glue {
namespace {

using os::Arg;
using os::Call;
using os::CallSpec;
using os::Parameter;

constexpr double kIntMin = -2147483648.0;
constexpr double kIntMax = 2147483647.0;
constexpr double kUnsignedMax = 4294967295.0;

struct Bytes {
  void* data = nullptr;
  size_t length = 0;
};

class Parser {
 public:
  Parser(napi_env env, const CallSpec& spec, const napi_value* values, size_t count, Keeper& keeper,
         Call& call)
      : env_(env), spec_(spec), values_(values), count_(count), keeper_(keeper), call_(call) {}

  bool Run() {
    for (const Parameter& parameter : spec_.parameters) {
      if (parameter.kind == Arg::kEnd) break;
      if (!One(parameter)) return false;
    }
    return true;
  }

 private:
  napi_value Next() {
    if (next_ < count_) return values_[next_++];
    napi_value undefined = nullptr;
    napi_get_undefined(env_, &undefined);
    return undefined;
  }

  void Push(long value) {
    call_.lengths[filled_] = static_cast<long>(last_.length);
    call_.args[filled_++] = value;
  }

  bool One(const Parameter& parameter) {
    switch (parameter.kind) {
      case Arg::kInt:
        return Integer(parameter, kIntMin, kIntMax, "an integer from -2147483648 to 2147483647");
      case Arg::kUnsigned:
        return Integer(parameter, 0, kUnsignedMax, "an integer from 0 to 4294967295");
      case Arg::kFcntl:
        return Integer(parameter, kIntMin, kIntMax, "an integer") &&
               (os::IsIntegerFcntl(static_cast<int>(call_.args[filled_ - 1])) ||
                ThrowRange(env_, spec_.name, parameter.name,
                           "a command whose argument is an integer", values_[next_ - 1]));
      case Arg::kIoctl:
        return Integer(parameter, 0, kUnsignedMax, "an integer") && KnownIoctl(parameter);
      case Arg::kIn:
        return Region(parameter, Flow::kIn);
      case Arg::kOut:
        return Region(parameter, Flow::kOut);
      case Arg::kInOut:
        return Region(parameter, Flow::kInOut);
      case Arg::kString:
        return String(parameter);
      case Arg::kVectorIn:
        return Vectors(parameter, Flow::kIn);
      case Arg::kVectorOut:
        return Vectors(parameter, Flow::kOut);
      case Arg::kMessageIn:
        return Message(parameter, Flow::kIn);
      case Arg::kMessageOut:
        return Message(parameter, Flow::kOut);
      case Arg::kFilter:
        return Filter(parameter);
      case Arg::kEpollEvent:
        return EpollEvent(parameter);
      case Arg::kLength:
        Push(static_cast<long>(last_.length));
        return true;
      case Arg::kCapacity:
        call_.capacity = static_cast<socklen_t>(last_.length);
        Push(reinterpret_cast<long>(&call_.capacity));
        return true;
      case Arg::kPolls:
        Push(static_cast<long>(last_.length / sizeof(struct pollfd)));
        return true;
      case Arg::kEpolls:
        Push(static_cast<long>(last_.length / sizeof(struct epoll_event)));
        return true;
      case Arg::kNull:
        Push(0);
        return true;
      case Arg::kCwd:
        Push(AT_FDCWD);
        return true;
      case Arg::kEnd:
        break;
    }
    return true;
  }

  bool Number(const Parameter& parameter, double least, double most, const char* expected,
              double* number) {
    napi_value value = Next();
    if (napi_get_value_double(env_, value, number) != napi_ok) {
      return ThrowType(env_, spec_.name, parameter.name, expected, value);
    }
    // A NaN fails the comparison that an integer in range passes.
    if (*number >= least && *number <= most &&
        static_cast<double>(static_cast<int64_t>(*number)) == *number) {
      return true;
    }
    return ThrowRange(env_, spec_.name, parameter.name, expected, value);
  }

  bool Integer(const Parameter& parameter, double least, double most, const char* expected) {
    double number = 0;
    if (!Number(parameter, least, most, expected, &number)) return false;
    Push(static_cast<long>(number));
    return true;
  }

  bool KnownIoctl(const Parameter& parameter) {
    ioctl_size_ = os::IoctlSize(static_cast<unsigned long>(call_.args[filled_ - 1]));
    return ioctl_size_ != 0 ||
           ThrowRange(env_, spec_.name, parameter.name,
                      "a request whose argument's size is known here", values_[next_ - 1]);
  }

  bool Detached(napi_value array) {
    napi_typedarray_type type;
    napi_value buffer = nullptr;
    size_t elements = 0;
    void* data = nullptr;
    bool detached = false;
    return napi_get_typedarray_info(env_, array, &type, &elements, &data, &buffer, nullptr) ==
               napi_ok &&
           napi_is_detached_arraybuffer(env_, buffer, &detached) == napi_ok && detached;
  }

  // The bytes of a typed array. Shared memory is as good as any: it cannot be detached, and that
  // another thread may write to it meanwhile is its owners' affair, as in C.
  bool View(const Parameter& parameter, napi_value value, Bytes* bytes) {
    napi_typedarray_type type;
    size_t elements = 0;
    if (napi_get_typedarray_info(env_, value, &type, &elements, &bytes->data, nullptr, nullptr) !=
        napi_ok) {
      return ThrowType(env_, spec_.name, parameter.name, "a typed array", value);
    }
    bytes->length = elements * ElementSize(type);
    if (bytes->length == 0 && Detached(value)) {
      return ThrowType(env_, spec_.name, parameter.name, "a typed array that is not detached",
                       value);
    }
    unsigned minimum = ioctl_size_ != 0 ? ioctl_size_ : parameter.minimum;
    if (bytes->length < minimum) {
      return ThrowRange(env_, spec_.name, parameter.name, "as long as what the kernel writes there",
                        value);
    }
    return true;
  }

  bool Keep(const Parameter& parameter, napi_value value, Bytes* bytes, Flow flow, bool payload) {
    bytes->data = keeper_.Keep(env_, value, bytes->data, bytes->length, flow, payload);
    if (bytes->data != nullptr || bytes->length == 0) return true;
    return ThrowRange(env_, spec_.name, parameter.name, "small enough for the memory there is",
                      value);
  }

  bool Region(const Parameter& parameter, Flow flow) {
    napi_value value = Next();
    if (!View(parameter, value, &last_) ||
        !Keep(parameter, value, &last_, flow, spec_.writes_result)) {
      return false;
    }
    Push(reinterpret_cast<long>(last_.data));
    return true;
  }

  bool String(const Parameter& parameter) {
    napi_value value = Next();
    if (!View(parameter, value, &last_)) return false;
    const char* text = static_cast<const char*>(last_.data);
    if (last_.length == 0 || text[last_.length - 1] != '\0') {
      return ThrowRange(env_, spec_.name, parameter.name, "bytes that end in NUL", value);
    }
    if (!Keep(parameter, value, &last_, Flow::kIn, false)) return false;
    Push(reinterpret_cast<long>(last_.data));
    return true;
  }

  bool Gather(const Parameter& parameter, Flow flow, uint32_t* count) {
    napi_value list = Next();
    if (napi_get_array_length(env_, list, count) != napi_ok) {
      return ThrowType(env_, spec_.name, parameter.name, "an array of typed arrays", list);
    }
    if (*count > os::kVectors) {
      return ThrowRange(env_, spec_.name, parameter.name, "an array of at most 64", list);
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
      call_.vectors[i] = {bytes.data, bytes.length};
    }
    return true;
  }

  bool Vectors(const Parameter& parameter, Flow flow) {
    uint32_t count = 0;
    if (!Gather(parameter, flow, &count)) return false;
    Push(reinterpret_cast<long>(call_.vectors));
    Push(count);
    return true;
  }

  bool Optional(const Parameter& parameter, Flow flow, Bytes* bytes) {
    napi_value value = Next();
    napi_valuetype type = napi_undefined;
    napi_typeof(env_, value, &type);
    if (type == napi_null) return true;
    return View(parameter, value, bytes) && Keep(parameter, value, bytes, flow, false);
  }

  bool Message(const Parameter& parameter, Flow flow) {
    uint32_t count = 0;
    Bytes control;
    Bytes name;
    if (!Gather(parameter, flow, &count) || !Optional({Arg::kIn, "control", 0}, flow, &control) ||
        !Optional({Arg::kIn, "name", 0}, flow, &name)) {
      return false;
    }
    call_.message.msg_iov = call_.vectors;
    call_.message.msg_iovlen = count;
    call_.message.msg_control = control.data;
    call_.message.msg_controllen = control.length;
    call_.message.msg_name = name.data;
    call_.message.msg_namelen = static_cast<socklen_t>(name.length);
    if (flow == Flow::kOut) {
      Parameter lengths = {Arg::kOut, "lengths", 3 * sizeof(int)};
      napi_value value = Next();
      Bytes bytes;
      if (!View(lengths, value, &bytes) || !Keep(lengths, value, &bytes, Flow::kOut, false)) {
        return false;
      }
      call_.message_lengths = static_cast<int*>(bytes.data);
    }
    Push(reinterpret_cast<long>(&call_.message));
    return true;
  }

  bool Filter(const Parameter& parameter) {
    napi_value value = Next();
    if (!View(parameter, value, &last_)) return false;
    size_t instructions = last_.length / sizeof(struct sock_filter);
    if (instructions > BPF_MAXINSNS || last_.length % sizeof(struct sock_filter) != 0) {
      return ThrowRange(env_, spec_.name, parameter.name,
                        "at most 4096 instructions of 8 bytes each", value);
    }
    if (!Keep(parameter, value, &last_, Flow::kIn, false)) return false;
    call_.filter.len = static_cast<unsigned short>(instructions);
    call_.filter.filter = static_cast<struct sock_filter*>(last_.data);
    Push(reinterpret_cast<long>(&call_.filter));
    Push(sizeof(call_.filter));
    return true;
  }

  bool EpollEvent(const Parameter&) {
    double events = 0;
    double data = 0;
    constexpr const char* kExpected = "an integer from 0 to 4294967295";
    if (!Number({Arg::kUnsigned, "events", 0}, 0, kUnsignedMax, kExpected, &events) ||
        !Number({Arg::kUnsigned, "data", 0}, 0, kUnsignedMax, kExpected, &data)) {
      return false;
    }
    call_.event.events = static_cast<uint32_t>(events);
    call_.event.data.u64 = static_cast<uint64_t>(data);
    Push(reinterpret_cast<long>(&call_.event));
    return true;
  }

  napi_env env_;
  const CallSpec& spec_;
  const napi_value* values_;
  size_t count_;
  Keeper& keeper_;
  Call& call_;
  size_t next_ = 0;
  int filled_ = 0;
  Bytes last_;
  unsigned ioctl_size_ = 0;
};

}  // namespace

size_t ElementSize(napi_typedarray_type type) {
  switch (type) {
    case napi_int8_array:
    case napi_uint8_array:
    case napi_uint8_clamped_array:
      return 1;
    case napi_int16_array:
    case napi_uint16_array:
      return 2;
    case napi_int32_array:
    case napi_uint32_array:
    case napi_float32_array:
      return 4;
    case napi_float64_array:
    case napi_bigint64_array:
    case napi_biguint64_array:
      return 8;
    default:
      return 0;
  }
}

bool ParseArguments(napi_env env, const CallSpec& spec, const napi_value* values, size_t count,
                    Keeper& keeper, Call& call) {
  call.spec = &spec;
  return Parser(env, spec, values, count, keeper, call).Run();
}

}  // namespace closewait::glue
