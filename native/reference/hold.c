// Holds SOCKETS established sockets, both ends of SOCKETS / 2 loopback connections, until EOF.
//
//   hold SOCKETS [close-wait]
//
// With close-wait it holds SOCKETS accepted connections, 64,000 at most, whose clients have closed;
// of the clients nothing remains after a second.
//
// Run several for more sockets than one process may have descriptors. Each has a listener of its
// own, so all of them can share one range of client ports. Nothing outlives it, even when it is
// killed: descriptors are closed in ascending order then, each client before the accepted socket
// whose RST ends it.

#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "rounds.h"

static void allow_every_descriptor(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) err(1, "getrlimit RLIMIT_NOFILE");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) err(1, "setrlimit RLIMIT_NOFILE");
}

// Connects from an address of this process and the next port that is free. A port that is used
// again would meet the old server, whose answer makes the client reset it. TCP_LINGER2: an orphan
// in FIN_WAIT2 stays for tcp_fin_timeout otherwise, and is one more socket to list.
static int connect_from(const struct sockaddr_in *address, int *port) {
  struct sockaddr_in from = {.sin_family = AF_INET};
  from.sin_addr.s_addr = htonl(0x7f000000 | (getpid() & 0xffffff));
  int client = socket(AF_INET, SOCK_STREAM, 0);
  if (client < 0) err(1, "socket");
  if (setsockopt(client, IPPROTO_TCP, TCP_LINGER2, &(int){1}, sizeof(int)) != 0) {
    err(1, "setsockopt TCP_LINGER2");
  }
  do {
    // Somebody may listen there, on every address.
    if (++*port > 65535) errx(1, "no client port is left");
    from.sin_port = htons(*port);
  } while (bind(client, (struct sockaddr *)&from, sizeof from) != 0 && errno == EADDRINUSE);
  if (connect(client, (const struct sockaddr *)address, sizeof *address) != 0) err(1, "connect");
  return client;
}

// Clients whose FIN is out. Each is closed when the server's ACK has come, a tick or two later: an
// ACK that close() itself met, because a timer came in between, would leave a whole socket in
// FIN_WAIT2 and not a stub, and its timer ends with a RST (tcp_keepalive_timer() in
// net/ipv4/tcp_timer.c), which takes the server to CLOSE.
enum { LEAVING = 500 };

static void close_acknowledged(int client) {
  unsigned char state;
  do {
    socklen_t size = sizeof state;
    if (getsockopt(client, IPPROTO_TCP, TCP_INFO, &state, &size) != 0) err(1, "getsockopt");
  } while (state != TCP_FIN_WAIT2 && sched_yield() == 0);
  close(client);
}

int main(int argc, char **argv) {
  char *end = "";
  long sockets = argc == 2 || argc == 3 ? strtol(argv[1], &end, 10) : 0;
  int in_close_wait = argc == 3 && strcmp(argv[2], "close-wait") == 0;
  if (*end != '\0' || sockets < 2 || sockets % 2 != 0 || (argc == 3 && !in_close_wait)) {
    errx(1, "usage: hold SOCKETS [close-wait] (an even number, 2 or more)");
  }
  allow_every_descriptor();
  struct sockaddr_in address;
  int listener = listen_on_loopback(&address);
  int port = 1023, leaving[LEAVING];
  long held = 0, left = 0;
  for (long connections = 0; held < sockets; connections++, held += in_close_wait ? 1 : 2) {
    int client = in_close_wait ? connect_from(&address, &port) : connect_to(&address);
    if (accept(listener, NULL, NULL) < 0) err(1, "accept socket %ld of %ld", held + 2, sockets);
    if (!in_close_wait) continue;
    if (shutdown(client, SHUT_WR) != 0) err(1, "shutdown");
    if (connections - left == LEAVING) close_acknowledged(leaving[left++ % LEAVING]);
    leaving[connections % LEAVING] = client;
  }
  while (in_close_wait && left < held) close_acknowledged(leaving[left++ % LEAVING]);
  close(listener);
  say_ready();
  while (getchar() != EOF) continue;
}
