// getsockopt(TCP_INFO) on one ESTABLISHED connection, with room for every field the kernel has.

#include <netinet/tcp.h>
#include <unistd.h>

#include "rounds.h"
#include "sleeper.h"

int main(int argc, char **argv) {
  (void)argv;
  // Any argument: not alone.
  if (argc > 1) start_sleeper();
  struct sockaddr_in address;
  int listener = listen_on_loopback(&address);
  int client = connect_to(&address);
  int accepted = accept(listener, NULL, NULL);
  if (accepted < 0) err(1, "accept");

  // A running kernel may know more fields than the header this was compiled with.
  _Alignas(8) unsigned char info[512];
  say_ready();
  for (int64_t iterations; (iterations = next_round()) > 0;) {
    int64_t start_ns = now_ns();
    for (int64_t i = 0; i < iterations; i++) {
      socklen_t length = sizeof info;
      if (getsockopt(client, IPPROTO_TCP, TCP_INFO, info, &length) != 0) {
        err(1, "getsockopt TCP_INFO");
      }
    }
    report_round(now_ns() - start_ns);
  }
  close(accepted);
  close(client);
  close(listener);
}
