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
//   false: not
//                                                 now, try again
//
// submit(handle: number, id, call, ...arguments): boolean       false: the actor has stopped
//
// `call` is an index into the rows of os::kCalls. The bytes of a submitted call are copied, so that
// JavaScript may move or free its arrays while the thread blocks; output is copied back just before
// `done`. What `done` throws is thrown when it has been called for all that is there: by stop(), or
// as an uncaught exception. An actor with calls out keeps the event loop alive; one without does
// not.
class Actor final : public Napi::ObjectWrap<Actor> {
 public:
  static void Export(Napi::Env env, Napi::Object exports);
  explicit Actor(const Napi::CallbackInfo& info);
  ~Actor() override;

 private:
  struct Submission;

  Napi::Value Start(const Napi::CallbackInfo& info);
  static napi_value Submit(napi_env env, napi_callback_info info);
  Napi::Value Cancel(const Napi::CallbackInfo& info);
  Napi::Value StopMethod(const Napi::CallbackInfo& info);

  void Hold();
  void Let();
  napi_value Deliver(napi_env env);
  void Close();
  static void OnDone(napi_env env, napi_value callback, void* context, void* data);
  static void OnEnvironmentEnd(void* self);

  Napi::Env env_;
  std::shared_ptr<Actors> actors_;
  size_t handle_ = 0;
  Napi::FunctionReference done_;
  napi_threadsafe_function wake_ = nullptr;
  std::unique_ptr<os::Actor> thread_;
  std::vector<os::Job*> spare_;  // memory for the next delivery
  size_t outstanding_ = 0;
};

}  // namespace closewait::glue
