// Making what JavaScript sees. Where JavaScript may no longer run, as in a worker that is ended
// while it loads the addon, a step is left out, and so is what follows from it: to throw, as
// node-addon-api does, would end the process.
#pragma once

#include <napi.h>

#include <cstdint>

namespace closewait::glue {

inline napi_value NewObject(napi_env env) {
  napi_value object = nullptr;
  napi_create_object(env, &object);
  return object;
}

inline napi_value NewArray(napi_env env, size_t length) {
  napi_value array = nullptr;
  napi_create_array_with_length(env, length, &array);
  return array;
}

inline napi_value NewNumber(napi_env env, double number) {
  napi_value value = nullptr;
  napi_create_double(env, number, &value);
  return value;
}

inline napi_value NewString(napi_env env, const char* text) {
  napi_value value = nullptr;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
  return value;
}

inline napi_value NewBoolean(napi_env env, bool is) {
  napi_value value = nullptr;
  napi_get_boolean(env, is, &value);
  return value;
}

inline void Set(napi_env env, napi_value object, const char* name, napi_value value) {
  if (value != nullptr) napi_set_named_property(env, object, name, value);
}

inline void Set(napi_env env, napi_value object, uint32_t index, napi_value value) {
  if (value != nullptr) napi_set_element(env, object, index, value);
}

inline void Set(napi_env env, napi_value object, const char* name, napi_callback callback) {
  napi_value function = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
  Set(env, object, name, function);
}

// Null where there is no such property.
inline napi_value Get(napi_env env, napi_value object, const char* name) {
  napi_value value = nullptr;
  if (object != nullptr) napi_get_named_property(env, object, name, &value);
  return value;
}

}  // namespace closewait::glue
