// A whole TCP connection's life on 127.0.0.1: ten system calls an iteration, both ends in one
// thread.
//
// The client closes first, so its end would stay in TIME_WAIT for 60 s. The listener's SO_LINGER,
// set once and inherited by what it accepts, has the tenth call send a RST in place of that FIN.
// Calls and results stay the same: the client's FIN is read as 0 before. What it avoids was
// measured on Linux 6.18: with FINs to one address a life costs 1.13 times as much, and 8 times
// whenever the client ports run out and stubs of earlier rounds have to be recycled (tcp_tw_reuse,
// after 1 s); spread over 64 addresses there are no such peaks, but 50,000 lives leave 50,000
// stubs, which every other program in the namespace then has to search and dump.

#include <unistd.h>

#include "rounds.h"
#include "sleeper.h"

static void expect(ssize_t got, ssize_t expected, const char *attempted) {
  if (got < 0) err(1, "%s", attempted);
  if (got != expected) errx(1, "%s: expected %zd bytes, got %zd", attempted, expected, got);
}

static void live_and_die(int listener, const struct sockaddr_in *address) {
  char bytes[5];
  struct sockaddr_in peer;
  socklen_t peer_length = sizeof peer;

  int client = connect_to(address);
  int accepted = accept(listener, (struct sockaddr *)&peer, &peer_length);
  if (accepted < 0) err(1, "accept");
  expect(write(client, "test\n", 5), 5, "write by the client");
  expect(read(accepted, bytes, sizeof bytes), 5, "read by the server");
  expect(write(accepted, bytes, sizeof bytes), 5, "write by the server");
  expect(read(client, bytes, sizeof bytes), 5, "read by the client");
  if (close(client) != 0) err(1, "close by the client");
  expect(read(accepted, bytes, sizeof bytes), 0, "read of the client's FIN");
  if (close(accepted) != 0) err(1, "close by the server");
}

int main(int argc, char **argv) {
  (void)argv;
  // Any argument: not alone.
  if (argc > 1) start_sleeper();
  struct sockaddr_in address;
  int listener = listen_on_loopback(&address);
  say_ready();
  for (int64_t iterations; (iterations = next_round()) > 0;) {
    int64_t start_ns = now_ns();
    for (int64_t i = 0; i < iterations; i++) live_and_die(listener, &address);
    report_round(now_ns() - start_ns);
  }
  close(listener);
}
