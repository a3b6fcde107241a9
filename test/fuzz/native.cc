// The addon with one export more: fuzz(arguments, run) hands the process over to libFuzzer, which
// calls run(bytes) again and again and sees which branches of the addon each input takes.
//
// fuzz() does not come back: libFuzzer ends the process. What `run` throws is a finding.
#include <napi.h>
#include <unistd.h>
#undef NODE_API_MODULE
#define NODE_API_MODULE(name, initialize)  // the one below takes its place
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "../../native/addon.cc"

extern "C" int LLVMFuzzerRunDriver(int* argc, char*** argv,
                                   int (*run)(const uint8_t* data, size_t size));
extern "C" int __llvm_profile_write_file(void);

namespace {

Napi::FunctionReference run;

int RunOnce(const uint8_t* data, size_t size) {
  Napi::Env env = run.Env();
  Napi::HandleScope scope(env);
  run.Call({Napi::Buffer<uint8_t>::Copy(env, data, size)});
  if (!env.IsExceptionPending()) return 0;
  Napi::Value stack = env.GetAndClearPendingException().Get("stack");
  fprintf(stderr, "%s\n", stack.ToString().Utf8Value().c_str());
  abort();
}

void Fuzz(const Napi::CallbackInfo& info) {
  std::vector<std::string> words = {"native"};
  auto list = info[0].As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) {
    words.push_back(Napi::Value(list[i]).ToString().Utf8Value());
  }
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  run = Napi::Persistent(info[1].As<Napi::Function>());
  // Node's own end is no part of it, and aborts where it opened something after the first run: that
  // was closed for the input's.
  on_exit(
      [](int status, void*) {
        __llvm_profile_write_file();
        _exit(status);
      },
      nullptr);
  int argc = static_cast<int>(words.size());
  char** arguments = argv.data();
  exit(LLVMFuzzerRunDriver(&argc, &arguments, RunOnce));
}

Napi::Object InitializeFuzz(Napi::Env env, Napi::Object exports) {
  exports.Set("fuzz", Napi::Function::New(env, Fuzz));
  return Initialize(env, exports);
}

NAPI_MODULE(closewait, ([](napi_env env, napi_value exports) {
              return Napi::RegisterModule(env, exports, InitializeFuzz);
            }))

}  // namespace
