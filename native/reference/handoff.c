// The floor for a blocking call made on another thread: one trivial call there and its result back.
//
// Out by futex, back by an eventfd in an epoll set, because that is where an event loop sleeps.

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rounds.h"

struct handoff {
  _Atomic uint32_t requests;  // the futex word: how many were made so far
  atomic_bool stopping;
  int done;   // eventfd, written once per request
  pid_t tid;  // the last result
};

static void wake_worker(struct handoff *handoff) {
  atomic_fetch_add(&handoff->requests, 1);
  if (syscall(SYS_futex, &handoff->requests, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) < 0) {
    err(1, "futex FUTEX_WAKE");
  }
}

// EAGAIN means the request came first; EINTR, and a wake with no request, that it has yet to come.
static void await_request(struct handoff *handoff, uint32_t served) {
  while (atomic_load(&handoff->requests) == served) {
    if (syscall(SYS_futex, &handoff->requests, FUTEX_WAIT_PRIVATE, served, NULL, NULL, 0) < 0 &&
        errno != EAGAIN && errno != EINTR) {
      err(1, "futex FUTEX_WAIT");
    }
  }
}

static void *work(void *argument) {
  struct handoff *handoff = argument;
  for (uint32_t served = 0;; served++) {
    await_request(handoff, served);
    if (atomic_load(&handoff->stopping)) return NULL;
    handoff->tid = (pid_t)syscall(SYS_gettid);
    const uint64_t one = 1;
    if (write(handoff->done, &one, sizeof one) != sizeof one) err(1, "write to the eventfd");
  }
}

static void round_trip(struct handoff *handoff, int loop) {
  wake_worker(handoff);
  struct epoll_event event;
  if (epoll_wait(loop, &event, 1, -1) != 1) err(1, "epoll_wait");
  uint64_t count;
  if (read(handoff->done, &count, sizeof count) != sizeof count) err(1, "read the eventfd");
}

int main(void) {
  struct handoff handoff = {.done = eventfd(0, EFD_NONBLOCK)};
  if (handoff.done < 0) err(1, "eventfd");
  int loop = epoll_create1(0);
  if (loop < 0) err(1, "epoll_create1");
  struct epoll_event readable = {.events = EPOLLIN};
  if (epoll_ctl(loop, EPOLL_CTL_ADD, handoff.done, &readable) != 0)
    err(1, "epoll_ctl EPOLL_CTL_ADD");
  pthread_t worker;
  int error = pthread_create(&worker, NULL, work, &handoff);
  if (error != 0) errx(1, "pthread_create: %s", strerror(error));

  say_ready();
  for (int64_t iterations; (iterations = next_round()) > 0;) {
    int64_t start_ns = now_ns();
    for (int64_t i = 0; i < iterations; i++) round_trip(&handoff, loop);
    report_round(now_ns() - start_ns);
  }

  atomic_store(&handoff.stopping, true);
  wake_worker(&handoff);
  error = pthread_join(worker, NULL);
  if (error != 0) errx(1, "pthread_join: %s", strerror(error));
  close(loop);
  close(handoff.done);
}
