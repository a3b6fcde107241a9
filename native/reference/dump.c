// Every IPv4 TCP socket of the namespace over sock_diag, received and not looked at: an iteration
// is one whole dump.

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <unistd.h>

#include "rounds.h"

// The most the kernel puts into one datagram of a dump (netlink_dump in net/netlink/af_netlink.c).
enum { kDatagram = 32768 };

static void request_dump(int netlink) {
  const struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 body;
  } request = {
      .header = {.nlmsg_len = sizeof request,
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
      .body = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0U},
  };
  if (send(netlink, &request, sizeof request, 0) != sizeof request) err(1, "send a dump request");
}

// NLMSG_DONE is the last message of the last datagram, and carries one int: no need to walk the
// rest.
static int is_last(const char *datagram, size_t length) {
  struct nlmsghdr done;
  const size_t done_length = NLMSG_LENGTH(sizeof(int));
  if (length < done_length) errx(1, "receive a dump: a datagram of %zu bytes", length);
  memcpy(&done, datagram + length - done_length, sizeof done);
  return done.nlmsg_type == NLMSG_DONE && done.nlmsg_len == done_length;
}

static void receive_dump(int netlink) {
  static _Alignas(struct nlmsghdr) char datagram[kDatagram];
  ssize_t length;
  do {
    length = recv(netlink, datagram, sizeof datagram, MSG_TRUNC);
    if (length < 0) err(1, "receive a dump");
    if (length > kDatagram) errx(1, "receive a dump: a datagram of %zd bytes", length);
    const struct nlmsghdr *first = (const struct nlmsghdr *)datagram;
    if (first->nlmsg_type == NLMSG_ERROR) {
      errno = -((const struct nlmsgerr *)NLMSG_DATA(first))->error;
      err(1, "dump TCP sockets");
    }
  } while (!is_last(datagram, (size_t)length));
}

int main(void) {
  int netlink = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
  if (netlink < 0) err(1, "socket AF_NETLINK NETLINK_SOCK_DIAG");
  say_ready();
  for (int64_t iterations; (iterations = next_round()) > 0;) {
    int64_t start_ns = now_ns();
    for (int64_t i = 0; i < iterations; i++) {
      request_dump(netlink);
      receive_dump(netlink);
    }
    report_round(now_ns() - start_ns);
  }
  close(netlink);
}
