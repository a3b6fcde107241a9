#include "throw.h"

#include <cstdio>

namespace closewait::glue {
namespace {

const char* TypeName(napi_valuetype type) {
  switch (type) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return "a boolean";
    case napi_string:
      return "a string";
    case napi_symbol:
      return "a symbol";
    case napi_function:
      return "a function";
    case napi_bigint:
      return "a bigint";
    default:
      return "an object";
  }
}

// What came, short enough for one line. A value's text is never asked for: asking can run code.
void Describe(napi_env env, napi_value value, char* text, size_t size) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  napi_value number = nullptr;
  if (type == napi_number && napi_coerce_to_string(env, value, &number) == napi_ok &&
      napi_get_value_string_utf8(env, number, text, size, nullptr) == napi_ok) {
    return;
  }
  bool is_bytes = false;
  void* data = nullptr;
  size_t length = 0;
  napi_typedarray_type kind;
  if (napi_is_typedarray(env, value, &is_bytes) == napi_ok && is_bytes) {
    napi_get_typedarray_info(env, value, &kind, &length, &data, nullptr, nullptr);
    snprintf(text, size, "a typed array of %zu elements", length);
    return;
  }
  snprintf(text, size, "%s", TypeName(type));
}

bool Throw(napi_env env, bool range, const char* call, const char* parameter, const char* expected,
           napi_value received) {
  char what[64];
  char text[256];
  Describe(env, received, what, sizeof(what));
  snprintf(text, sizeof(text), "%s: %s must be %s, received %s", call, parameter, expected, what);
  if (range) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", text);
  } else {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", text);
  }
  return false;
}

}  // namespace

bool ThrowType(napi_env env, const char* call, const char* parameter, const char* expected,
               napi_value received) {
  return Throw(env, false, call, parameter, expected, received);
}

bool ThrowRange(napi_env env, const char* call, const char* parameter, const char* expected,
                napi_value received) {
  return Throw(env, true, call, parameter, expected, received);
}

void ThrowAgain(napi_env env, napi_value thrown) { napi_throw(env, thrown); }

}  // namespace closewait::glue
