// Holds SOCKETS established sockets, both ends of SOCKETS / 2 loopback connections, until EOF.
//
//   hold SOCKETS
//
// Run several for more sockets than one process may have descriptors. Each has a listener of its
// own, so all of them can share one range of client ports. Nothing outlives it, even when it is
// killed: descriptors are closed in ascending order then, each client before the accepted socket
// whose RST ends it.

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
  long sockets = argc == 2 ? strtol(argv[1], &end, 10) : 0;
  if (*end != '\0' || sockets < 2 || sockets % 2 != 0) {
    errx(1, "usage: hold SOCKETS (an even number, 2 or more)");
  }
  allow_every_descriptor();
  struct sockaddr_in address;
  int listener = listen_on_loopback(&address);
  for (long held = 0; held < sockets; held += 2) {
    connect_to(&address);
    if (accept(listener, NULL, NULL) < 0) err(1, "accept socket %ld of %ld", held + 2, sockets);
  }
  close(listener);
  say_ready();
  while (getchar() != EOF) continue;
}
