// What one would reach for instead of an actor: the same trivial call on libuv's thread pool. It is
// here to be compared with and is no part of the package.

#include <napi.h>
#include <sys/types.h>
#include <unistd.h>

namespace {

class GetTid : public Napi::AsyncWorker {
 public:
  explicit GetTid(Napi::Env env)
      : Napi::AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override { tid_ = gettid(); }
  void OnOK() override { deferred_.Resolve(Napi::Number::New(Env(), tid_)); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  pid_t tid_ = 0;
};

// gettid(): Promise<number>
Napi::Value QueueGetTid(const Napi::CallbackInfo& info) {
  auto* worker = new GetTid(info.Env());  // AsyncWorker deletes itself once it has settled.
  Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("gettid", Napi::Function::New(env, QueueGetTid, "gettid"));
  return exports;
}

}  // namespace

NODE_API_MODULE(async_worker, Init)
