// What the addon keeps for an environment: the main thread's, or a worker's.
#pragma once

#include <napi.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace closewait::glue {

class Actor;

inline constexpr int kMostValues = 6;

// A call by its gate: see calls.h.
struct Page {
  int32_t result;
  int32_t values[kMostValues];
  uint32_t length;
};

// The actors of an environment by their handles; null where one has gone.
using Actors = std::vector<Actor*>;

struct Environment {
  napi_env env;

  // Each of them holds it as well: whether they or this go first is Node's affair.
  std::shared_ptr<Actors> actors = std::make_shared<Actors>();

  // The page in use, or null.
  Page* page = nullptr;
  size_t page_size = 0;
  Napi::Reference<Napi::ArrayBuffer> page_buffer;

  // %TypedArray%.prototype.keys as it was when the addon was loaded. It runs no code of anybody's,
  // and throws if the array has lost its bytes, which Node-API does not tell: there it is an empty
  // one.
  Napi::FunctionReference typed_array_keys;

  ~Environment();
};

// The first one, which is the main thread's if that uses the addon: to ask Node for it takes a
// quarter of a crossing. Only the thread whose environment it is has that `env`, and so only that
// thread reads or writes the other.
inline std::atomic<napi_env> first_env = nullptr;
inline Environment* first_environment = nullptr;

inline Environment::~Environment() {
  if (first_env == env) first_env = nullptr;
}

// Makes `environment` the one of its `env`, which deletes it.
inline void Adopt(Environment* environment) {
  napi_env nobody = nullptr;
  if (first_env.compare_exchange_strong(nobody, environment->env)) first_environment = environment;
  Napi::Env(environment->env).SetInstanceData(environment);
}

// The one of `env`.
inline Environment& EnvironmentOf(napi_env env) {
  if (env == first_env.load(std::memory_order_relaxed)) return *first_environment;
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

}  // namespace closewait::glue
