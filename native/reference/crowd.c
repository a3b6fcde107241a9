// Holds CONNECTIONS sockets in CLOSE_WAIT: the clients of a listener have closed, and it has not.
//
//   crowd CONNECTIONS
//
// It prints "ready" when they are there. At the first line on stdin it closes all of them, prints
// how many nanoseconds that took, and ends. Run several for more sockets than one process may have
// descriptors.

#define _GNU_SOURCE  // POLLRDHUP

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "rounds.h"

static void allow_every_descriptor(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) err(1, "getrlimit RLIMIT_NOFILE");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) err(1, "setrlimit RLIMIT_NOFILE");
}

int main(int argc, char **argv) {
  char *end = "";
  long connections = argc == 2 ? strtol(argv[1], &end, 10) : 0;
  if (*end != '\0' || connections < 1) errx(2, "usage: crowd CONNECTIONS");
  allow_every_descriptor();
  int *fds = calloc((size_t)connections, sizeof *fds);
  if (fds == NULL) err(1, "calloc");
  struct sockaddr_in address;
  int listener = listen_on_loopback(&address);
  const struct linger graceful = {0};
  for (long i = 0; i < connections; i++) {
    int client = connect_to(&address);
    fds[i] = accept(listener, NULL, NULL);
    if (fds[i] < 0) err(1, "accept connection %ld of %ld", i + 1, connections);
    // The listener's is for closing fast, and would make a RST of what is measured.
    if (setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &graceful, sizeof graceful) != 0) {
      err(1, "setsockopt SO_LINGER");
    }
    if (close(client) != 0) err(1, "close");
  }
  close(listener);
  // A busy machine leaves packets to ksoftirqd: a FIN may come after the close() that sent it.
  for (long i = 0; i < connections; i++) {
    if (poll(&(struct pollfd){.fd = fds[i], .events = POLLRDHUP}, 1, -1) != 1) err(1, "poll");
  }
  say_ready();
  if (next_round() == 0) return 0;
  int64_t start_ns = now_ns();
  for (long i = 0; i < connections; i++) {
    if (close(fds[i]) != 0) err(1, "close");
  }
  report_round(now_ns() - start_ns);
  free(fds);
}
