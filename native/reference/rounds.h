// What the reference programs share: the protocol that lets one harness pair any of them with
// JavaScript doing the same work, and the listener their connections come from.
//
// A program sets itself up and prints "ready"; then, for each line "N" on stdin, it runs N
// iterations and prints how long they took in nanoseconds of CLOCK_MONOTONIC. It ends at EOF. A
// call that fails ends it at once with status 1, and stderr says what was attempted.

#ifndef CLOSEWAIT_REFERENCE_ROUNDS_H_
#define CLOSEWAIT_REFERENCE_ROUNDS_H_

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

static inline int64_t now_ns(void) {
  struct timespec now;
  if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) err(1, "clock_gettime CLOCK_MONOTONIC");
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

// stdout is a pipe here, hence buffered: a line nobody flushes is a harness that waits for ever.
static inline void flush_line(void) {
  if (fflush(stdout) != 0) err(1, "write to stdout");
}

static inline void say_ready(void) {
  puts("ready");
  flush_line();
}

// Waits for the next round and returns its iterations; 0 at EOF.
static inline int64_t next_round(void) {
  char line[32];
  if (fgets(line, sizeof line, stdin) == NULL) {
    if (ferror(stdin)) err(1, "read a round from stdin");
    return 0;
  }
  char *end;
  errno = 0;
  int64_t iterations = strtoll(line, &end, 10);
  if (errno != 0 || *end != '\n' || iterations < 1) errx(1, "not a number of iterations: %s", line);
  return iterations;
}

static inline void report_round(int64_t elapsed_ns) {
  printf("%" PRId64 "\n", elapsed_ns);
  flush_line();
}

// Opens a listener on 127.0.0.1, the port chosen by the kernel, and fills in its address.
//
// Its accepted sockets inherit SO_LINGER {on, 0 s}: closing one sends a RST, so no connection made
// here leaves a TIME_WAIT behind, whichever end is closed first.
static inline int listen_on_loopback(struct sockaddr_in *address) {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0) err(1, "socket for the listener");
  const struct linger reset = {.l_onoff = 1, .l_linger = 0};
  if (setsockopt(listener, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) != 0) {
    err(1, "setsockopt SO_LINGER");
  }
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof *address;
  if (bind(listener, (struct sockaddr *)address, length) != 0) err(1, "bind 127.0.0.1 port 0");
  if (listen(listener, SOMAXCONN) != 0) err(1, "listen");
  if (getsockname(listener, (struct sockaddr *)address, &length) != 0) err(1, "getsockname");
  return listener;
}

// Opens a client connected to `address`.
static inline int connect_to(const struct sockaddr_in *address) {
  int client = socket(AF_INET, SOCK_STREAM, 0);
  if (client < 0) err(1, "socket");
  if (connect(client, (const struct sockaddr *)address, sizeof *address) != 0) {
    err(1, "connect to 127.0.0.1 port %d", ntohs(address->sin_port));
  }
  return client;
}

#endif  // CLOSEWAIT_REFERENCE_ROUNDS_H_
