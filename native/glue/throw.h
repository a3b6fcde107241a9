// The one place where this addon throws.
#pragma once

#include <napi.h>

namespace closewait::glue {

// Throws a TypeError (ERR_INVALID_ARG_TYPE): "close: fd must be an integer, received a string".
// Always returns false, so that a parser can say `return ThrowType(...)`.
bool ThrowType(napi_env env, const char* call, const char* parameter, const char* expected,
               napi_value received);

// Throws a RangeError (ERR_OUT_OF_RANGE) of the same shape.
bool ThrowRange(napi_env env, const char* call, const char* parameter, const char* expected,
                napi_value received);

// Throws what JavaScript threw, and was taken from it, once more.
void ThrowAgain(napi_env env, napi_value thrown);

}  // namespace closewait::glue
