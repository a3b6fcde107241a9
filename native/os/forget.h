// What becomes of a result that nobody can be told of any more.
#pragma once

#include "call.h"

namespace closewait::os {

// Closes the descriptors that a finished call has made, and takes the remains of a program away
// that it started. For a call whose owner is gone: nobody else knows their numbers. What dup3 made
// is left: its number was somebody's own choice.
void Forget(Call& call);

// Each for some rows of kCalls: see CallSpec::forget.
void ForgetResult(Call& call);     // the result is a descriptor
void ForgetPair(Call& call);       // pipe2, socketpair
void ForgetControl(Call& call);    // recvmsg: SCM_RIGHTS, SCM_PIDFD
void ForgetOption(Call& call);     // getsockopt: SO_PEERPIDFD
void ForgetDuplicate(Call& call);  // fcntl: F_DUPFD, F_DUPFD_CLOEXEC
void ForgetNamespace(Call& call);  // ioctl: SIOCGSKNS
void ForgetProgram(Call& call);    // spawn

}  // namespace closewait::os
