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

#include <netinet/tcp.h>
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

// Connects from an address of this process and a port of this connection, closes, and leaves the
// server alone. A port that is used again would meet the old server, whose answer makes the client
// reset it. TCP_LINGER2: an orphan in FIN_WAIT2 stays for tcp_fin_timeout otherwise, and is one
// more socket to list.
static int connect_from(const struct sockaddr_in *address, long number) {
  struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(1024 + number)};
  from.sin_addr.s_addr = htonl(0x7f000000 | (getpid() & 0xffffff));
  int client = socket(AF_INET, SOCK_STREAM, 0);
  if (client < 0) err(1, "socket");
  if (setsockopt(client, IPPROTO_TCP, TCP_LINGER2, &(int){1}, sizeof(int)) != 0) {
    err(1, "setsockopt TCP_LINGER2");
  }
  if (bind(client, (struct sockaddr *)&from, sizeof from) != 0) err(1, "bind client %ld", number);
  if (connect(client, (const struct sockaddr *)address, sizeof *address) != 0) err(1, "connect");
  return client;
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
  for (long held = 0; held < sockets; held += in_close_wait ? 1 : 2) {
    int client = in_close_wait ? connect_from(&address, held) : connect_to(&address);
    if (accept(listener, NULL, NULL) < 0) err(1, "accept socket %ld of %ld", held + 2, sockets);
    if (in_close_wait) close(client);
  }
  close(listener);
  say_ready();
  while (getchar() != EOF) continue;
}
