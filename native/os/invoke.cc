#include "invoke.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <mutex>

// long closewait_syscall(CancelFlag*, long number, const long args[6])
//
// begin..end is the stretch in which an interrupt must not be lost: the flag has been or is about
// to be read, and the kernel has not been left. The handler moves a thread caught there to
// `cancelled`. A thread at `end` carries a result, and keeps it: nothing that happened is undone.
#if defined(__x86_64__)
asm(R"(
  .text
  .p2align 4
  .globl closewait_syscall
  .hidden closewait_syscall
  .type closewait_syscall, @function
closewait_syscall:
  .cfi_startproc
  mov %rdi, %r11
  mov %rsi, %rax
  mov %rdx, %rcx
  mov (%rcx), %rdi
  mov 8(%rcx), %rsi
  mov 16(%rcx), %rdx
  mov 24(%rcx), %r10
  mov 32(%rcx), %r8
  mov 40(%rcx), %r9
  .globl closewait_syscall_begin
  .hidden closewait_syscall_begin
closewait_syscall_begin:
  cmpl $0, (%r11)
  jne closewait_syscall_cancelled
  syscall
  .globl closewait_syscall_end
  .hidden closewait_syscall_end
closewait_syscall_end:
  ret
  .globl closewait_syscall_cancelled
  .hidden closewait_syscall_cancelled
closewait_syscall_cancelled:
  mov $-4, %rax
  ret
  .cfi_endproc
  .size closewait_syscall, . - closewait_syscall
)");
#elif defined(__aarch64__)
asm(R"(
  .text
  .p2align 2
  .globl closewait_syscall
  .hidden closewait_syscall
  .type closewait_syscall, %function
closewait_syscall:
  .cfi_startproc
  mov x9, x0
  mov x8, x1
  mov x10, x2
  ldp x0, x1, [x10]
  ldp x2, x3, [x10, #16]
  ldp x4, x5, [x10, #32]
  .globl closewait_syscall_begin
  .hidden closewait_syscall_begin
closewait_syscall_begin:
  ldr w10, [x9]
  cbnz w10, closewait_syscall_cancelled
  svc #0
  .globl closewait_syscall_end
  .hidden closewait_syscall_end
closewait_syscall_end:
  ret
  .globl closewait_syscall_cancelled
  .hidden closewait_syscall_cancelled
closewait_syscall_cancelled:
  mov x0, #-4
  ret
  .cfi_endproc
  .size closewait_syscall, . - closewait_syscall
)");
#else
#error "closewait_syscall is written for x86-64 and aarch64"
#endif

static_assert(EINTR == 4, "the assembly above returns -EINTR as a number");

extern "C" {
__attribute__((visibility("hidden"))) long closewait_syscall(closewait::os::CancelFlag*, long,
                                                             const long*);
extern __attribute__((visibility("hidden"))) const char closewait_syscall_begin[];
extern __attribute__((visibility("hidden"))) const char closewait_syscall_end[];
extern __attribute__((visibility("hidden"))) const char closewait_syscall_cancelled[];
}

namespace closewait::os {
namespace {

// A real-time signal, which is nobody's by name; 0 until there is one.
int interrupt_signal = 0;

// A real-time signal takes a place in a queue, which has an end that all processes of a user share
// (RLIMIT_SIGPENDING). This one is delivered where there is no place left, and Linux itself never
// sends it.
constexpr int kUnqueuedSignal = SIGSTKFLT;

void OnInterrupt(int, siginfo_t*, void* context) {
  auto* machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  auto* counter = reinterpret_cast<uintptr_t*>(&machine->gregs[REG_RIP]);
#else
  auto* counter = reinterpret_cast<uintptr_t*>(&machine->pc);
#endif
  if (*counter >= reinterpret_cast<uintptr_t>(closewait_syscall_begin) &&
      *counter < reinterpret_cast<uintptr_t>(closewait_syscall_end)) {
    *counter = reinterpret_cast<uintptr_t>(closewait_syscall_cancelled);
  }
}

// Puts the handler behind a signal unless that belongs to somebody. To be ignored is inherited
// through execve(2), and means nobody. The action stays for as long as the process does, and so
// must this code: binding.gyp links it with -z nodelete.
bool Claim(int number) {
  struct sigaction current = {};
  if (sigaction(number, nullptr, &current) != 0) return false;
  if (current.sa_sigaction == OnInterrupt) return true;
  if (current.sa_handler != SIG_DFL && current.sa_handler != SIG_IGN) return false;
  struct sigaction action = {};
  action.sa_sigaction = OnInterrupt;
  action.sa_flags = SA_SIGINFO;  // no SA_RESTART: ending the call is the point
  sigfillset(&action.sa_mask);
  if (sigaction(number, &action, nullptr) != 0) return false;
  // qemu-user takes an action for 63 and 64, but has no signal of the host's to send for them.
  if (raise(number) == 0 || errno == EAGAIN) return true;
  sigaction(number, &current, nullptr);
  return false;
}

// The highest are the least likely to be wanted by another addon.
int ClaimSignal() {
  for (int number = SIGRTMAX - 1; number > SIGRTMIN; number--) {
    if (!Claim(number)) continue;
    interrupt_signal = number;
    return 0;
  }
  return -EBUSY;
}

}  // namespace

long Invoke(CancelFlag* cancelled, long number, const long args[6]) {
  return closewait_syscall(cancelled, number, args);
}

long Invoke(long number, const long args[6]) {
  static CancelFlag never = 0;
  return Invoke(&never, number, args);
}

int PrepareInterrupts() {
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  return interrupt_signal != 0 ? 0 : ClaimSignal();
}

void AcceptInterrupts() {
  sigset_t others;
  sigfillset(&others);
  sigdelset(&others, interrupt_signal);
  sigdelset(&others, kUnqueuedSignal);
  pthread_sigmask(SIG_SETMASK, &others, nullptr);
}

bool Interrupt(int tid) {
  if (syscall(SYS_tgkill, getpid(), tid, interrupt_signal) == 0) return true;
  // Claimed each time, and not before it is needed: it has a name, and JavaScript may listen to it.
  return errno == EAGAIN && Claim(kUnqueuedSignal) &&
         syscall(SYS_tgkill, getpid(), tid, kUnqueuedSignal) == 0;
}

}  // namespace closewait::os
