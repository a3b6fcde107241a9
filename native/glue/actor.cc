#include "actor.h"

#include <errno.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "arguments.h"
#include "calls.h"
#include "environment.h"
#include "throw.h"

namespace closewait::glue {

namespace {

using Parser = bool (*)(napi_env, const napi_value*, Keeper*, struct iovec*, os::Call&);

template <int... kRow>
constexpr std::array<Parser, sizeof...(kRow)> ParsersOf(std::integer_sequence<int, kRow...>) {
  return {ParseArguments<kRow>...};
}

constexpr auto kParsers = ParsersOf(std::make_integer_sequence<int, os::kCallCount>());

}  // namespace

// A job with its own copy of every byte, and the way back to the arrays they came from.
struct Actor::Submission final : os::Job, Keeper {
  struct Region {
    std::unique_ptr<char[]> bytes;
    size_t length;
    napi_ref array;  // null for input
    bool payload;
  };

  // The bytes of an array as it is now.
  struct Array {
    void* data = nullptr;
    size_t length = 0;
  };

  std::vector<Region> regions;
  std::unique_ptr<struct iovec[]> vectors;

  // Without bytes for input, whose array is not kept.
  static Array ArrayOf(napi_env env, const Region& region) {
    napi_value array = nullptr;
    void* data = nullptr;
    size_t elements = 0;
    napi_typedarray_type type;
    if (region.array == nullptr || napi_get_reference_value(env, region.array, &array) != napi_ok ||
        napi_get_typedarray_info(env, array, &type, &elements, &data, nullptr, nullptr) !=
            napi_ok ||
        data == nullptr) {
      return {};
    }
    return {data, elements * ElementSize(type)};
  }

  void* Keep(napi_env env, napi_value array, void* data, size_t length, Flow flow,
             bool payload) override {
    Region region = {};
    // One byte at least, so that an empty region still has an address.
    region.bytes.reset(new (std::nothrow) char[length + 1]);
    if (region.bytes == nullptr) return nullptr;
    region.length = length;
    region.payload = payload;
    // Output keeps what is there too: the kernel may write less than there is room for.
    if (length > 0 && !(payload && flow == Flow::kOut)) {
      std::memcpy(region.bytes.get(), data, length);
    }
    if (flow != Flow::kIn) napi_create_reference(env, array, 1, &region.array);
    regions.push_back(std::move(region));
    return regions.back().bytes.get();
  }

  void KeepContents(napi_env env) override {
    for (const Region& region : regions) {
      Array array = ArrayOf(env, region);
      size_t length = std::min(region.length, array.length);
      if (length > 0) std::memcpy(region.bytes.get(), array.data, length);
    }
  }

  struct iovec* KeepVectors() override {
    vectors.reset(new (std::nothrow) struct iovec[os::kVectors]);
    return vectors.get();
  }

  void CopyBack(napi_env env) {
    size_t left = call.result > 0 ? static_cast<size_t>(call.result) : 0;
    for (Region& region : regions) {
      if (region.array == nullptr) continue;
      size_t length = region.payload ? std::min(left, region.length) : region.length;
      if (region.payload) left -= length;
      // An array that was detached or shrunk meanwhile has no room for what came.
      Array array = ArrayOf(env, region);
      length = std::min(length, array.length);
      if (length > 0) std::memcpy(array.data, region.bytes.get(), length);
    }
  }

  void Release(napi_env env) {
    for (Region& region : regions) {
      if (region.array != nullptr) napi_delete_reference(env, region.array);
    }
  }
};

void Actor::Export(Napi::Env env, Napi::Object exports) {
  exports.Set("Actor", DefineClass(env, "Actor",
                                   {InstanceMethod("start", &Actor::Start),
                                    InstanceMethod("cancel", &Actor::Cancel),
                                    InstanceMethod("stop", &Actor::StopMethod)}));
  // No method: it is the most frequent call here, and to find what is behind `this` takes longer
  // than all the rest. By itself: node-addon-api would gather its arguments one by one.
  napi_value submit = nullptr;
  napi_create_function(env, "submit", NAPI_AUTO_LENGTH, Submit, nullptr, &submit);
  exports.Set("submit", Napi::Value(env, submit));
}

Actor::Actor(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Actor>(info), env_(info.Env()) {
  if (!info[0].IsFunction()) {
    ThrowType(env_, "Actor", "done", "a function", info[0]);
    return;
  }
  // It is the object that holds the function: were it this reference, an actor whose function knows
  // it could never be collected.
  Napi::Object self = info.This().As<Napi::Object>();
  self.DefineProperty(Napi::PropertyDescriptor::Value("done", info[0], napi_default));
  done_ = Napi::Weak(info[0].As<Napi::Function>());
  actors_ = EnvironmentOf(env_).actors;
  handle_ = std::find(actors_->begin(), actors_->end(), nullptr) - actors_->begin();
  actors_->resize(std::max(actors_->size(), handle_ + 1));
  (*actors_)[handle_] = this;
  self.DefineProperty(Napi::PropertyDescriptor::Value(
      "handle", Napi::Number::New(env_, static_cast<double>(handle_)), napi_default));
}

Actor::~Actor() {
  if (actors_ != nullptr) (*actors_)[handle_] = nullptr;
  Close();
}

Napi::Value Actor::Start(const Napi::CallbackInfo& info) {
  std::string name = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "actor";
  int netns = info[1].IsNumber() ? info[1].As<Napi::Number>().Int32Value() : -1;
  // What is not told yet was held for the thread that took it: another would not be held.
  if (thread_ != nullptr || outstanding_ != 0) return Napi::Number::New(env_, -EALREADY);
  napi_value label = Napi::String::New(env_, "closewait actor");
  if (napi_create_threadsafe_function(env_, nullptr, nullptr, label, 0, 1, nullptr, nullptr, this,
                                      OnDone, &wake_) != napi_ok) {
    return Napi::Number::New(env_, -ENOMEM);
  }
  napi_unref_threadsafe_function(env_, wake_);
  napi_threadsafe_function wake = wake_;
  thread_ = std::make_unique<os::Actor>(
      [](void* context) {
        napi_call_threadsafe_function(static_cast<napi_threadsafe_function>(context), nullptr,
                                      napi_tsfn_nonblocking);
      },
      wake);
  int result = thread_->Start(name.c_str(), netns);
  // Registered after the function above, so it runs before that one's own clean-up: the thread is
  // gone before what it would call is.
  napi_add_env_cleanup_hook(env_, OnEnvironmentEnd, this);
  if (result != 0) Close();
  return Napi::Number::New(env_, result);
}

napi_value Actor::Submit(napi_env env, napi_callback_info info) {
  napi_value values[kMostArguments + 3];
  size_t count = kMostArguments + 3;
  napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  const Actors& actors = *EnvironmentOf(env).actors;
  int64_t handle = -1;
  napi_get_value_int64(env, values[0], &handle);
  if (handle < 0 || static_cast<size_t>(handle) >= actors.size() || actors[handle] == nullptr) {
    ThrowRange(env, "submit", "actor", "the handle of an actor", values[0]);
    return nullptr;
  }
  Actor* actor = actors[handle];
  int64_t id = 0;
  napi_get_value_int64(env, values[1], &id);
  int32_t row = -1;
  napi_get_value_int32(env, values[2], &row);
  if (row < 0 || row >= os::kCallCount) {
    ThrowRange(env, "submit", "call", "the index of a call", values[2]);
    return nullptr;
  }
  auto submission = std::make_unique<Submission>();
  submission->id = static_cast<uint64_t>(id);
  bool queued = false;
  if (!kParsers[row](env, values + 3, submission.get(), nullptr, submission->call)) {
    submission->Release(env);
    return nullptr;
  }
  if (actor->thread_ != nullptr && actor->thread_->Submit(submission.get())) {
    submission.release();
    queued = true;
    if (actor->outstanding_++ == 0) actor->Hold();
  } else {
    submission->Release(env);
  }
  napi_value result = nullptr;
  napi_get_boolean(env, queued, &result);
  return result;
}

// While calls are out, the event loop goes on and the object is not collected.
void Actor::Hold() {
  napi_ref_threadsafe_function(env_, wake_);
  Ref();
}

// Where `done` has ended in stop(), the function is gone before the last call is told.
void Actor::Let() {
  if (wake_ != nullptr) napi_unref_threadsafe_function(env_, wake_);
  Unref();
}

Napi::Value Actor::Cancel(const Napi::CallbackInfo& info) {
  bool told = true;
  if (thread_ != nullptr && info[0].IsNumber()) {
    told = thread_->Cancel(static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value()));
  }
  return Napi::Boolean::New(env_, told);
}

Napi::Value Actor::StopMethod(const Napi::CallbackInfo&) {
  if (thread_ == nullptr) return Napi::Boolean::New(env_, true);
  if (!thread_->Quit()) return Napi::Boolean::New(env_, false);
  thread_->Stop();
  Napi::HandleScope scope(env_);
  napi_value thrown = Deliver(env_);
  Close();
  if (thrown != nullptr) ThrowAgain(env_, thrown);
  return Napi::Boolean::New(env_, true);
}

void Actor::OnDone(napi_env env, napi_value, void* context, void*) {
  // Without an environment the clean-up hook has already taken the jobs.
  if (env == nullptr) return;
  Napi::HandleScope scope(env);
  napi_value thrown = static_cast<Actor*>(context)->Deliver(env);
  // Above is nobody who could catch it.
  if (thrown != nullptr) napi_fatal_exception(env, thrown);
}

// Returns what `done` threw first, if it did: that takes nothing from the calls that come after.
napi_value Actor::Deliver(napi_env env) {
  if (thread_ == nullptr) return nullptr;
  // Taken away meanwhile: a call of `done` may end in stop(), and that delivers too.
  std::vector<os::Job*> taken = std::move(spare_);
  taken.clear();
  thread_->TakeDone(taken);
  napi_value receiver = Value();
  napi_value first = nullptr;
  for (os::Job* job : taken) {
    std::unique_ptr<Submission> submission(static_cast<Submission*>(job));
    submission->CopyBack(env);
    submission->Release(env);
    if (--outstanding_ == 0) Let();
    napi_value arguments[2] = {};
    napi_create_int64(env, static_cast<int64_t>(submission->id), &arguments[0]);
    arguments[1] = ToNumber(env, submission->call.result);
    napi_value ignored = nullptr;
    napi_status told = napi_call_function(env, receiver, done_.Value(), 2, arguments, &ignored);
    bool threw = false;
    napi_value thrown = nullptr;
    if (napi_is_exception_pending(env, &threw) != napi_ok || !threw) {
      // Where the environment is on its way out it fails without an exception.
      if (told != napi_ok) os::Forget(submission->call);
      continue;
    }
    napi_get_and_clear_last_exception(env, &thrown);
    if (first == nullptr) first = thrown;
  }
  spare_ = std::move(taken);
  return first;
}

// Stops the thread and drops what it held, what that had opened included, without calling
// JavaScript. Idempotent.
void Actor::Close() {
  if (thread_ == nullptr) return;
  thread_->Stop();
  std::vector<os::Job*> dropped;
  thread_->TakeDone(dropped);
  for (os::Job* job : dropped) {
    std::unique_ptr<Submission> submission(static_cast<Submission*>(job));
    os::Forget(submission->call);
    submission->Release(env_);
  }
  thread_.reset();
  napi_remove_env_cleanup_hook(env_, OnEnvironmentEnd, this);
  napi_release_threadsafe_function(wake_, napi_tsfn_abort);
  wake_ = nullptr;
}

void Actor::OnEnvironmentEnd(void* self) { static_cast<Actor*>(self)->Close(); }

}  // namespace closewait::glue
