// The only instruction in this addon that enters the kernel on a caller's behalf.
#pragma once

#include <atomic>

namespace closewait::os {

// Set to 1 by the thread that wants a call on another thread to end. The assembly reads it as the
// int that it is in memory.
using CancelFlag = std::atomic<int>;
static_assert(sizeof(CancelFlag) == sizeof(int) && CancelFlag::is_always_lock_free);

// Makes system call `number` and returns its result, or -errno. errno itself is not touched.
//
// If *cancelled becomes 1 before the kernel is entered, the call is not made; if Interrupt() is
// sent while the kernel blocks, the call ends. Both return -EINTR. There is no window between the
// two: the signal handler looks at the interrupted instruction, so a wake-up cannot be lost
// between the test of the flag and the system call.
long Invoke(CancelFlag* cancelled, long number, const long args[6]);

// Makes system call `number` with nobody to cancel it.
long Invoke(long number, const long args[6]);

// Installs the handler behind Interrupt() once per process, on a real-time signal that has no
// handler. Returns 0 or -errno (-EBUSY: every real-time signal is taken).
int PrepareInterrupts();

// Opens the calling thread to Interrupt(), and closes it to every other signal: those belong to
// the process's main thread.
void AcceptInterrupts();

// Ends the call that thread `tid` of this process is blocked in. The flag must be set first. False
// where no signal could be sent: this user has too many on their way (RLIMIT_SIGPENDING), and the
// one that needs no place among them is somebody else's. There may be a place in a moment.
bool Interrupt(int tid);

}  // namespace closewait::os
