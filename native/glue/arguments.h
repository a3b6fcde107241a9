// JavaScript's arguments -> the kernel's, by the row of the call.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "../os/calls.h"

namespace closewait::glue {

// How the bytes of an argument reach the kernel.
enum class Flow { kIn, kOut, kInOut };

// Decides where the kernel finds what an argument points to while a call is under way.
class Keeper {
 public:
  virtual ~Keeper() = default;

  // Returns where `length` bytes of `array`, now at `data`, are kept; null if there is no memory.
  // `payload`: of this region only the first `result` bytes will be meaningful.
  virtual void* Keep(napi_env env, napi_value array, void* data, size_t length, Flow flow,
                     bool payload) = 0;

  // Keeps in every region of output what its array holds now: the kernel may write less than it
  // says.
  virtual void KeepContents(napi_env env) = 0;

  // Returns room for os::kVectors of them; null if there is no memory.
  virtual struct iovec* KeepVectors() = 0;
};

// Bytes an element of a typed array takes.
constexpr size_t ElementSize(napi_typedarray_type type) {
  constexpr unsigned char kSizes[] = {
      [napi_int8_array] = 1,
      [napi_uint8_array] = 1,
      [napi_uint8_clamped_array] = 1,
      [napi_int16_array] = 2,
      [napi_uint16_array] = 2,
      [napi_int32_array] = 4,
      [napi_uint32_array] = 4,
      [napi_float32_array] = 4,
      [napi_float64_array] = 8,
      [napi_bigint64_array] = 8,
      [napi_biguint64_array] = 8,
      [11] = 2};  // napi_float16_array, which headers before Node 24's do not name
  return type < sizeof(kSizes) ? kSizes[type] : 0;
}

// How many JavaScript values a parameter takes.
constexpr size_t ValuesOf(os::Arg kind) {
  if (kind == os::Arg::kEnd || kind >= os::Arg::kLength) return 0;
  if (kind == os::Arg::kEpollEvent) return 2;
  if (kind == os::Arg::kMessageIn) return 3;
  return kind == os::Arg::kMessageOut ? 4 : 1;
}

// How many JavaScript values a call takes.
constexpr size_t ValuesOf(const os::CallSpec& spec) {
  size_t count = 0;
  for (const os::Parameter& parameter : spec.parameters) count += ValuesOf(parameter.kind);
  return count;
}

constexpr size_t ParametersOf(const os::CallSpec& spec) {
  size_t count = 0;
  while (count < 8 && spec.parameters[count].kind != os::Arg::kEnd) count++;
  return count;
}

// Whether a call takes several buffers.
constexpr bool TakesVectors(const os::CallSpec& spec) {
  for (const os::Parameter& parameter : spec.parameters) {
    if (parameter.kind >= os::Arg::kVectorIn && parameter.kind <= os::Arg::kMessageOut) return true;
  }
  return false;
}

inline constexpr size_t kMostArguments = 8;
inline constexpr int64_t kMostSafe = (int64_t{1} << 53) - 1;  // Number.MAX_SAFE_INTEGER

// Fills a call from JavaScript values, one parameter after the other. Where a value does not fit,
// the method returns false and an error is pending.
class Arguments {
 public:
  // `values` must lead to as many as the call takes; those not given are undefined. Without a
  // keeper bytes stay where they are, which is right for a call that returns before JavaScript can
  // run again; `vectors` then leads to os::kVectors of them if the row takes any.
  Arguments(napi_env env, const napi_value* values, Keeper* keeper, struct iovec* vectors,
            os::Call& call)
      : env_(env), next_(values), keeper_(keeper), vectors_(vectors), call_(call) {}

  // Inlined where the parameter is a constant, so that of the switch one case is left.
  [[gnu::always_inline]] bool Take(const os::Parameter& parameter) {
    using enum os::Arg;
    switch (parameter.kind) {
      case kInt:
        return Integer(parameter, INT32_MIN, INT32_MAX);
      case kUnsigned:
        return Integer(parameter, 0, UINT32_MAX);
      case kOffset:
        return Integer(parameter, -kMostSafe, kMostSafe);
      case kFcntl:
        return Integer(parameter, INT32_MIN, INT32_MAX) && KnownFcntl(parameter);
      case kIoctl:
        return Integer(parameter, 0, UINT32_MAX) && KnownIoctl(parameter);
      case kReceive:
        return Integer(parameter, INT32_MIN, INT32_MAX) && ReceiveFlags();
      case kIn:
        return Region(parameter, Flow::kIn);
      case kOut:
        return Region(parameter, Flow::kOut);
      case kInOut:
        return Region(parameter, Flow::kInOut);
      case kString:
        return String(parameter);
      case kVectorIn:
        return Vectors(parameter, Flow::kIn);
      case kVectorOut:
        return Vectors(parameter, Flow::kOut);
      case kMessageIn:
        return Message(parameter, Flow::kIn);
      case kMessageOut:
        return Message(parameter, Flow::kOut);
      case kFilter:
        return Filter(parameter);
      case kEpollEvent:
        return EpollEvent();
      case kLength:
        return Push(static_cast<long>(last_.length));
      case kCapacity:
        call_.capacity = static_cast<socklen_t>(last_.length);
        return Push(reinterpret_cast<long>(&call_.capacity));
      case kPolls:
        return Push(static_cast<long>(last_.length / sizeof(struct pollfd)));
      case kEpolls:
        return Push(static_cast<long>(last_.length / sizeof(struct epoll_event)));
      case kNull:
        return Push(0);
      case kCwd:
        return Push(AT_FDCWD);
      case kEnd:
        break;
    }
    return true;
  }

 private:
  struct Bytes {
    void* data = nullptr;
    size_t length = 0;
  };

  bool Push(long value) {
    call_.lengths[filled_] = static_cast<long>(last_.length);
    call_.args[filled_++] = value;
    return true;
  }

  [[gnu::always_inline]] bool Integer(const os::Parameter& parameter, int64_t least, int64_t most) {
    double number = 0;
    return Number(parameter, least, most, &number) && Push(static_cast<long>(number));
  }

  [[gnu::always_inline]] bool Number(const os::Parameter& parameter, int64_t least, int64_t most,
                                     double* number) {
    napi_value value = *next_++;
    if (napi_get_value_double(env_, value, number) != napi_ok) {
      RefuseType(parameter, value);
      return false;
    }
    // A NaN fails the comparison that an integer in range passes.
    if (*number >= static_cast<double>(least) && *number <= static_cast<double>(most) &&
        static_cast<double>(static_cast<int64_t>(*number)) == *number) {
      return true;
    }
    RefuseRange(parameter, value);
    return false;
  }

  [[gnu::always_inline]] bool Region(const os::Parameter& parameter, Flow flow) {
    napi_value value = *next_++;
    return View(parameter, value, &last_) &&
           Keep(parameter, value, &last_, flow, call_.spec->writes_result) &&
           Push(reinterpret_cast<long>(last_.data));
  }

  // The bytes of a typed array. Shared memory is as good as any: it cannot be detached, and that
  // another thread may write to it meanwhile is its owners' affair, as in C.
  [[gnu::always_inline]] bool View(const os::Parameter& parameter, napi_value value, Bytes* bytes) {
    auto type = static_cast<napi_typedarray_type>(-1);  // an array of a kind unknown leaves it so
    size_t elements = 0;
    if (napi_get_typedarray_info(env_, value, &type, &elements, &bytes->data, nullptr, nullptr) !=
            napi_ok ||
        ElementSize(type) == 0) {
      RefuseView(parameter, value, false);
      return false;
    }
    bytes->length = elements * ElementSize(type);
    size_t minimum = ioctl_size_ != 0 ? ioctl_size_ : parameter.minimum;
    if (bytes->length < minimum || (bytes->length == 0 && IsGone(value))) {
      RefuseView(parameter, value, true);
      return false;
    }
    return true;
  }

  [[gnu::always_inline]] bool Keep(const os::Parameter& parameter, napi_value value, Bytes* bytes,
                                   Flow flow, bool payload) {
    if (keeper_ == nullptr) return true;
    bytes->data = keeper_->Keep(env_, value, bytes->data, bytes->length, flow, payload);
    if (bytes->data != nullptr || bytes->length == 0) return true;
    RefuseKeep(parameter, value);
    return false;
  }

  bool ReceiveFlags() {
    if (keeper_ != nullptr && (call_.args[filled_ - 1] & MSG_TRUNC) != 0)
      keeper_->KeepContents(env_);
    return true;
  }

  [[gnu::cold]] void RefuseType(const os::Parameter& parameter, napi_value value);
  [[gnu::cold]] void RefuseRange(const os::Parameter& parameter, napi_value value);
  bool KnownFcntl(const os::Parameter& parameter);
  bool KnownIoctl(const os::Parameter& parameter);
  [[gnu::cold]] bool IsDetached(napi_value array);
  [[gnu::cold]] bool IsGone(napi_value array);
  [[gnu::cold]] void RefuseView(const os::Parameter& parameter, napi_value value, bool is_array);
  [[gnu::cold]] void RefuseKeep(const os::Parameter& parameter, napi_value value);
  bool String(const os::Parameter& parameter);
  bool Gather(const os::Parameter& parameter, Flow flow, uint32_t* count);
  bool Vectors(const os::Parameter& parameter, Flow flow);
  bool Optional(const os::Parameter& parameter, Flow flow, Bytes* bytes);
  bool Message(const os::Parameter& parameter, Flow flow);
  bool Filter(const os::Parameter& parameter);
  bool EpollEvent();

  napi_env env_;
  const napi_value* next_;
  Keeper* keeper_;
  struct iovec* vectors_;
  os::Call& call_;
  int filled_ = 0;
  Bytes last_;
  unsigned ioctl_size_ = 0;
};

// Fills `call`, of the row `kRow`, from `values`: see Arguments. The compiler unrolls each row into
// a parser of its own. False if a value does not fit: then an error is pending.
template <int kRow>
inline bool ParseArguments(napi_env env, const napi_value* values, Keeper* keeper,
                           struct iovec* vectors, os::Call& call) {
  constexpr const os::CallSpec& kSpec = os::kCalls[kRow];
  call.spec = &kSpec;
  Arguments arguments(env, values, keeper, vectors, call);
  return [&]<size_t... kAt> [[gnu::always_inline]] (std::index_sequence<kAt...>) {
    return (... && arguments.Take(kSpec.parameters[kAt]));
  }
  (std::make_index_sequence<ParametersOf(kSpec)>());
}

}  // namespace closewait::glue
