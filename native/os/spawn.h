// Starting a program where and how an experiment needs it, which posix_spawn cannot say.
#pragma once

#include "call.h"

namespace closewait::os {

// spawn(path, argv, envp, stdio, flags, child): clone(2) and execve(2) from the calling thread, so
// that the program inherits that thread's namespaces.
//
// argv and envp are NUL-terminated strings laid end to end; a lone NUL stands for none. stdio holds
// the three descriptors that become 0, 1 and 2, and the latch or -1. flags may hold CLONE_NEWUSER,
// in which the caller's user and group become 0, CLONE_NEWNET, CLONE_NEWPID, and
// POSIX_SPAWN_SETPGROUP for a process group of its own. The program gets
// SIGKILL when the calling thread ends (PR_SET_PDEATHSIG), an empty signal mask and default signal
// actions.
//
// The latch is a blocking descriptor that reads and writes: the child writes its pid there (an int,
// as it sees it itself) and goes on when it has read a byte. Where there is none to come, the call
// ends with ECANCELED; while it waits it can be cancelled, which ends the child.
//
// Returns the pid and stores {pid, pidfd, 0} in child; or -errno and stores the step that failed
// (a SpawnStep) in child[2].
long Spawn(Call& call);

enum SpawnStep : int { kClone, kPair, kParent, kLatch, kUserMap, kLift, kPlace, kSeal, kExec };

}  // namespace closewait::os
