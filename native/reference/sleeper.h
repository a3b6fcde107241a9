// A thread that does nothing, for programs that are measured against Node.
//
// A process with more than one thread counts references to each descriptor in every call that uses
// one (fdget in include/linux/file.h); Node has several threads always. Without it a program would
// run another path of the kernel than what it is held against.

#ifndef CLOSEWAIT_REFERENCE_SLEEPER_H_
#define CLOSEWAIT_REFERENCE_SLEEPER_H_

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

static void *sleep_on(void *unused) {
  for (;;) pause();
  return unused;
}

static inline void start_sleeper(void) {
  pthread_t thread;
  errno = pthread_create(&thread, NULL, sleep_on, NULL);
  if (errno != 0) err(1, "pthread_create");
}

#endif  // CLOSEWAIT_REFERENCE_SLEEPER_H_
