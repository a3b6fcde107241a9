// A thread for blocking calls, as JavaScript holds it.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "../os/actor.h"
#include "environment.h"

namespace closewait::glue {

// new Actor(done: (id: number, result: number) => void)
//   start(name: string, netns: number): number   0 or -errno
//   handle: number
//   cancel(id): boolean                           false: not now, try again
//   stop(): boolean                               calls done for what was still out, then joins;
//                                                 false: not now, try again
//
// submit(handle: number, id, call, ...arguments): boolean       false: the actor has stopped
//
// `call` is an index into the rows of os::kCalls. The bytes of a submitted call are copied, so that
// JavaScript may move or free its arrays while the thread blocks; output is copied back just before
// `done`. What `done` throws is thrown when it has been called for all that is there: by stop(), or
// as an uncaught exception. An actor with calls out keeps the event loop alive; one without does
// not.
class Actor final {
 public:
  static void Export(napi_env env, napi_value exports);
  ~Actor();

 private:
  struct Submission;

  explicit Actor(napi_env env);
  static napi_value Construct(napi_env env, napi_callback_info info);
  static napi_value Start(napi_env env, napi_callback_info info);
  static napi_value Submit(napi_env env, napi_callback_info info);
  static napi_value Cancel(napi_env env, napi_callback_info info);
  static napi_value Stop(napi_env env, napi_callback_info info);

  int Start(const char* name, int netns);
  bool Stop();
  void Hold();
  void Let();
  napi_value Deliver();
  void Close();
  static void OnDone(napi_env env, napi_value callback, void* context, void* data);
  static void OnEnvironmentEnd(void* self);

  napi_env env_;
  std::shared_ptr<Actors> actors_;
  size_t handle_ = 0;
  napi_ref self_ = nullptr;  // weak, but while calls are out
  napi_ref done_ = nullptr;  // weak: the object holds it
  napi_threadsafe_function wake_ = nullptr;
  std::unique_ptr<os::Actor> thread_;
  std::vector<os::Job*> spare_;  // memory for the next delivery
  size_t outstanding_ = 0;
};

}  // namespace closewait::glue
