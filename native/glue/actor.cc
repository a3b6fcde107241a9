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
#include "object.h"
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

void Actor::Export(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      {"start", nullptr, Start, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"cancel", nullptr, Cancel, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"stop", nullptr, Stop, nullptr, nullptr, nullptr, napi_default, nullptr},
  };
  napi_value type = nullptr;
  napi_define_class(env, "Actor", NAPI_AUTO_LENGTH, Construct, nullptr, 3, methods, &type);
  Set(env, exports, "Actor", type);
  // No method: it is the most frequent call here, and to find what is behind `this` takes longer
  // than all the rest.
  Set(env, exports, "submit", Submit);
}

Actor::Actor(napi_env env) : env_(env), actors_(EnvironmentOf(env).actors) {
  handle_ = std::find(actors_->begin(), actors_->end(), nullptr) - actors_->begin();
  actors_->resize(std::max(actors_->size(), handle_ + 1));
  (*actors_)[handle_] = this;
}

Actor::~Actor() {
  (*actors_)[handle_] = nullptr;
  Close();
  if (done_ != nullptr) napi_delete_reference(env_, done_);
  if (self_ != nullptr) napi_delete_reference(env_, self_);
}

napi_value Actor::Construct(napi_env env, napi_callback_info info) {
  napi_value target = nullptr;
  napi_get_new_target(env, info, &target);
  napi_value done = nullptr;
  napi_value self = nullptr;
  size_t count = 1;
  napi_get_cb_info(env, info, &count, &done, &self, nullptr);
  if (target == nullptr) {
    ThrowType(env, "Actor", "this", "made by new", self);
    return nullptr;
  }
  napi_valuetype type = napi_undefined;
  napi_typeof(env, done, &type);
  if (type != napi_function) {
    ThrowType(env, "Actor", "done", "a function", done);
    return nullptr;
  }
  std::unique_ptr<Actor> actor(new Actor(env));
  // It is the object that holds the function: were it the reference, an actor whose function knows
  // it could never be collected.
  const napi_property_descriptor properties[] = {
      {"done", nullptr, nullptr, nullptr, nullptr, done, napi_default, nullptr},
      {"handle", nullptr, nullptr, nullptr, nullptr,
       NewNumber(env, static_cast<double>(actor->handle_)), napi_default, nullptr},
  };
  auto finalize = [](napi_env, void* data, void*) { delete static_cast<Actor*>(data); };
  if (napi_define_properties(env, self, 2, properties) != napi_ok ||
      napi_create_reference(env, done, 0, &actor->done_) != napi_ok ||
      napi_wrap(env, self, actor.get(), finalize, nullptr, &actor->self_) != napi_ok) {
    return nullptr;
  }
  actor.release();
  return self;
}

namespace {

// What a method was called with: the object's actor, and up to two arguments. Null where `this` is
// none, or where JavaScript may no longer run, as in a worker that is being ended.
Actor* ActorOf(napi_env env, napi_callback_info info, napi_value (&arguments)[2]) {
  size_t count = 2;
  napi_value self = nullptr;
  napi_get_cb_info(env, info, &count, arguments, &self, nullptr);
  void* actor = nullptr;
  if (napi_unwrap(env, self, &actor) != napi_ok) return nullptr;
  return static_cast<Actor*>(actor);
}

struct HandleScope {
  explicit HandleScope(napi_env env) : env(env) { napi_open_handle_scope(env, &scope); }
  ~HandleScope() { napi_close_handle_scope(env, scope); }
  napi_env env;
  napi_handle_scope scope = nullptr;
};

napi_value ValueOf(napi_env env, napi_ref reference) {
  napi_value value = nullptr;
  napi_get_reference_value(env, reference, &value);
  return value;
}

}  // namespace

napi_value Actor::Start(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  Actor* actor = ActorOf(env, info, arguments);
  if (actor == nullptr) return nullptr;
  char name[64] = "actor";
  napi_get_value_string_utf8(env, arguments[0], name, sizeof(name), nullptr);
  int netns = -1;
  napi_get_value_int32(env, arguments[1], &netns);
  return ToNumber(env, actor->Start(name, netns));
}

int Actor::Start(const char* name, int netns) {
  // What is not told yet was held for the thread that took it: another would not be held.
  if (thread_ != nullptr || outstanding_ != 0) return -EALREADY;
  if (napi_create_threadsafe_function(env_, nullptr, nullptr, NewString(env_, "closewait actor"), 0,
                                      1, nullptr, nullptr, this, OnDone, &wake_) != napi_ok) {
    return -ENOMEM;
  }
  napi_unref_threadsafe_function(env_, wake_);
  napi_threadsafe_function wake = wake_;
  thread_ = std::make_unique<os::Actor>(
      [](void* context) {
        napi_call_threadsafe_function(static_cast<napi_threadsafe_function>(context), nullptr,
                                      napi_tsfn_nonblocking);
      },
      wake);
  int result = thread_->Start(name, netns);
  // Registered after the function above, so it runs before that one's own clean-up: the thread is
  // gone before what it would call is.
  napi_add_env_cleanup_hook(env_, OnEnvironmentEnd, this);
  if (result != 0) Close();
  return result;
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
  return NewBoolean(env, queued);
}

// While calls are out, the event loop goes on and the object is not collected.
void Actor::Hold() {
  napi_ref_threadsafe_function(env_, wake_);
  napi_reference_ref(env_, self_, nullptr);
}

// Where `done` has ended in stop(), the function is gone before the last call is told.
void Actor::Let() {
  if (wake_ != nullptr) napi_unref_threadsafe_function(env_, wake_);
  napi_reference_unref(env_, self_, nullptr);
}

napi_value Actor::Cancel(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  Actor* actor = ActorOf(env, info, arguments);
  int64_t id = 0;
  if (actor == nullptr || actor->thread_ == nullptr ||
      napi_get_value_int64(env, arguments[0], &id) != napi_ok) {
    return NewBoolean(env, true);
  }
  return NewBoolean(env, actor->thread_->Cancel(static_cast<uint64_t>(id)));
}

napi_value Actor::Stop(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  Actor* actor = ActorOf(env, info, arguments);
  return NewBoolean(env, actor == nullptr || actor->Stop());
}

bool Actor::Stop() {
  if (thread_ == nullptr) return true;
  if (!thread_->Quit()) return false;
  thread_->Stop();
  HandleScope scope(env_);
  napi_value thrown = Deliver();
  Close();
  if (thrown != nullptr) ThrowAgain(env_, thrown);
  return true;
}

void Actor::OnDone(napi_env env, napi_value, void* context, void*) {
  // Without an environment the clean-up hook has already taken the jobs.
  if (env == nullptr) return;
  HandleScope scope(env);
  napi_value thrown = static_cast<Actor*>(context)->Deliver();
  // Above is nobody who could catch it.
  if (thrown != nullptr) napi_fatal_exception(env, thrown);
}

// Returns what `done` threw first, if it did: that takes nothing from the calls that come after.
napi_value Actor::Deliver() {
  if (thread_ == nullptr) return nullptr;
  napi_env env = env_;
  // Taken away meanwhile: a call of `done` may end in stop(), and that delivers too.
  std::vector<os::Job*> taken = std::move(spare_);
  taken.clear();
  thread_->TakeDone(taken);
  napi_value receiver = ValueOf(env, self_);
  napi_value done = ValueOf(env, done_);
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
    napi_status told = napi_call_function(env, receiver, done, 2, arguments, &ignored);
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
