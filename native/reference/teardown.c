// One TCP connection's end on 127.0.0.1 after another, each timed: what `closewait bench` measures
// its drivers against.
//
//   teardown MODE              both ends in one thread
//   teardown MODE --processes  the ends are two processes, and each waits for the other in read()
//   teardown --list            the modes, as text
//
// It prints the port of its listener and "ready"; then, for each line "N" on stdin, it lives N
// connections and writes a struct record of each. Only what is between the first and the last step
// of a mode is timed: connecting, and what the mode needs beforehand, are not.
//
// In one thread is not quite true: a second one sleeps all the time. Every Node process has
// several, and in a process that has, the kernel counts references to a file in each call. That was
// measured (Linux 6.18) at 1 to 3 % of a teardown, and would else count as the price of JavaScript.

#include <netinet/tcp.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "rounds.h"
#include "sleeper.h"

enum end { CLIENT, SERVER };

enum what { NOTHING, CLOSE, SHUTDOWN, READ, WRITE, RESET, LINGER_0, LINGER2_NEVER };

static const char *const WHAT[] = {
    "",      "close",    "shutdown(SHUT_WR)", "read",
    "write", "SO_ERROR", "SO_LINGER {1, 0}",  "TCP_LINGER2 -1",
};

#define PAYLOAD 64
#define STEPS 8

struct step {
  enum end end;
  enum what what;
  int expected;  // what the call must return; of RESET, the socket's error
  int ordered;   // with two processes: not before the other has made the step before it
};

struct mode {
  const char *name;
  struct step before[2];
  struct step steps[STEPS];
  int closing;  // the step that closes
  int seeing;   // the step in which the other end sees it
};

static const struct mode MODES[] = {
    {"client-first", {}, {{CLIENT, CLOSE}, {SERVER, READ}, {SERVER, CLOSE}}, 0, 1},
    {"server-first", {}, {{SERVER, CLOSE}, {CLIENT, READ}, {CLIENT, CLOSE}}, 0, 1},
    {"shutdown-drain",
     {{SERVER, WRITE, PAYLOAD}},
     {{CLIENT, SHUTDOWN},
      {SERVER, READ},
      {SERVER, CLOSE},
      {CLIENT, READ, PAYLOAD},
      {CLIENT, READ},
      {CLIENT, CLOSE}},
     0,
     1},
    {"abort",
     {{CLIENT, LINGER_0}},
     {{CLIENT, CLOSE}, {SERVER, RESET, ECONNRESET}, {SERVER, CLOSE}},
     0,
     1},
    {"unread-data",
     {{CLIENT, WRITE, PAYLOAD}},
     {{SERVER, CLOSE}, {CLIENT, RESET, ECONNRESET}, {CLIENT, CLOSE}},
     0,
     1},
    {"linger2",
     {{CLIENT, LINGER2_NEVER}},
     {{CLIENT, SHUTDOWN}, {CLIENT, CLOSE}, {SERVER, READ, 0, 1}, {SERVER, CLOSE}},
     1,
     2},
    {"half-close",
     {},
     {{CLIENT, SHUTDOWN},
      {SERVER, READ},
      {SERVER, WRITE, PAYLOAD},
      {SERVER, CLOSE},
      {CLIENT, READ, PAYLOAD},
      {CLIENT, READ},
      {CLIENT, CLOSE}},
     0,
     1},
    {"http",
     {},
     {{CLIENT, WRITE, PAYLOAD},
      {SERVER, READ, PAYLOAD},
      {SERVER, WRITE, PAYLOAD},
      {SERVER, CLOSE},
      {CLIENT, READ, PAYLOAD},
      {CLIENT, READ},
      {CLIENT, CLOSE}},
     3,
     5},
};

// One cycle, as it goes to stdout: CLOCK_MONOTONIC, and the first step that did not return what it
// had to, counted from 1, with what it returned or -errno.
struct record {
  int64_t start_ns, closing_ns, seen_ns, end_ns, fault, returned;
};

static char bytes[4 * PAYLOAD];

static int option(int fd, int level, int name, const void *value, socklen_t length) {
  return setsockopt(fd, level, name, value, length);
}

// What the call returned, or -errno.
static inline int64_t make(enum what what, int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  int64_t result = 0;
  switch (what) {
    case NOTHING:
      return 0;
    case CLOSE:
      result = close(fd);
      break;
    case SHUTDOWN:
      result = shutdown(fd, SHUT_WR);
      break;
    case READ:
      result = read(fd, bytes, sizeof bytes);
      break;
    case WRITE:
      result = write(fd, bytes, PAYLOAD);
      break;
    case RESET:
      result = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
      // Once in a million the kernel puts the delivery off until after the call that sent the RST.
      if (result == 0 && error == 0 && poll(&(struct pollfd){.fd = fd}, 1, 1000) == 1) {
        result = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
      }
      if (result == 0) return error;
      break;
    case LINGER_0:
      result = option(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
      break;
    case LINGER2_NEVER:
      result = option(fd, IPPROTO_TCP, TCP_LINGER2, &(int){-1}, sizeof(int));
      break;
  }
  return result < 0 ? -errno : result;
}

static inline void check(struct record *record, int step, int64_t returned, int64_t expected) {
  if (returned == expected || record->fault != 0) return;
  record->fault = step + 1;
  record->returned = returned;
}

static void prepare(const struct mode *mode, const int fds[2], int ends) {
  for (int i = 0; i < 2 && mode->before[i].what != NOTHING; i++) {
    const struct step *step = &mode->before[i];
    if (!(ends & 1 << step->end)) continue;
    int64_t result = make(step->what, fds[step->end]);
    if (result != step->expected) {
      errno = (int)-result;
      err(1, "%s: %s", mode->name, WHAT[step->what]);
    }
  }
}

// Both ends in this thread.
static inline void tear_down(const struct mode *mode, const int fds[2], struct record *record) {
  record->start_ns = now_ns();
  if (mode->closing == 0) record->closing_ns = record->start_ns;
  for (int i = 0; i < STEPS && mode->steps[i].what != NOTHING; i++) {
    const struct step *step = &mode->steps[i];
    if (i == mode->closing && i > 0) record->closing_ns = now_ns();
    check(record, i, make(step->what, fds[step->end]), step->expected);
    if (i == mode->seeing) record->seen_ns = now_ns();
  }
  record->end_ns = now_ns();
}

static int accept_from(int listener) {
  int fd = accept(listener, NULL, NULL);
  if (fd < 0) err(1, "accept");
  return fd;
}

static void one_thread(const struct mode *mode, int listener, const struct sockaddr_in *address,
                       struct record *record) {
  int fds[2];
  fds[CLIENT] = connect_to(address);
  fds[SERVER] = accept_from(listener);
  prepare(mode, fds, 1 << CLIENT | 1 << SERVER);
  tear_down(mode, fds, record);
}

// What the two processes share.
struct shared {
  struct record record;  // of the client, which also writes it out
  struct record server;  // what the server's process saw
  sem_t connect, ready, turn, over;
};

static void await(sem_t *semaphore) {
  while (sem_wait(semaphore) != 0) {
    if (errno != EINTR) err(1, "sem_wait");
  }
}

// The steps of one end, with what it knows of the times.
static void tear_down_own(const struct mode *mode, enum end end, int fd, struct shared *shared) {
  struct record *record = end == CLIENT ? &shared->record : &shared->server;
  for (int i = 0; i < STEPS && mode->steps[i].what != NOTHING; i++) {
    const struct step *step = &mode->steps[i];
    if (step->end != end) continue;
    if (step->ordered) await(&shared->turn);
    if (i == 0) record->start_ns = now_ns();
    if (i == mode->closing) record->closing_ns = i == 0 ? record->start_ns : now_ns();
    // Here one can wait for the reset, and does.
    bool waits = step->what == RESET;
    int64_t returned = make(waits ? READ : step->what, fd);
    check(record, i, returned, waits ? -step->expected : step->expected);
    if (i == mode->seeing) record->seen_ns = now_ns();
    if (i + 1 < STEPS && mode->steps[i + 1].ordered) sem_post(&shared->turn);
  }
  record->end_ns = now_ns();
}

static inline int64_t later(int64_t a, int64_t b) { return a > b ? a : b; }

static void serve(const struct mode *mode, int listener, struct shared *shared, pid_t client) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) err(1, "prctl PR_SET_PDEATHSIG");
  // It may have died before it was asked for a signal at that.
  if (getppid() != client) _exit(1);
  for (;;) {
    await(&shared->connect);
    int fds[2] = {-1, accept_from(listener)};
    shared->server = (struct record){};
    prepare(mode, fds, 1 << SERVER);
    sem_post(&shared->ready);
    tear_down_own(mode, SERVER, fds[SERVER], shared);
    sem_post(&shared->over);
  }
}

static void two_processes(const struct mode *mode, struct shared *shared,
                          const struct sockaddr_in *address, struct record *record) {
  int fds[2] = {connect_to(address), -1};
  shared->record = (struct record){};
  prepare(mode, fds, 1 << CLIENT);
  sem_post(&shared->connect);
  await(&shared->ready);
  tear_down_own(mode, CLIENT, fds[CLIENT], shared);
  await(&shared->over);
  const struct record *client = &shared->record, *server = &shared->server;
  bool own = client->fault != 0;
  *record = (struct record){
      .start_ns = later(client->start_ns, server->start_ns),
      .closing_ns = later(client->closing_ns, server->closing_ns),
      .seen_ns = later(client->seen_ns, server->seen_ns),
      .end_ns = later(client->end_ns, server->end_ns),
      .fault = own ? client->fault : server->fault,
      .returned = own ? client->returned : server->returned,
  };
}

// Without its server the client would wait for ever; the server has said why.
static void give_up(int signal) {
  (void)signal;
  _exit(1);
}

static struct shared *share(const struct mode *mode, int listener) {
  struct shared *shared =
      mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) err(1, "mmap");
  sem_t *all[] = {&shared->connect, &shared->ready, &shared->turn, &shared->over};
  for (int i = 0; i < 4; i++) {
    if (sem_init(all[i], 1, 0) != 0) err(1, "sem_init");
  }
  // One that is stopped, as by Ctrl-Z, goes on again.
  struct sigaction ended = {.sa_handler = give_up, .sa_flags = SA_NOCLDSTOP};
  if (sigaction(SIGCHLD, &ended, NULL) != 0) err(1, "sigaction SIGCHLD");
  pid_t client = getpid();
  pid_t child = fork();
  if (child < 0) err(1, "fork");
  if (child == 0) serve(mode, listener, shared, client);
  return shared;
}

static int listen_plainly(struct sockaddr_in *address) {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0) err(1, "socket for the listener");
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof *address;
  if (bind(listener, (struct sockaddr *)address, length) != 0) err(1, "bind 127.0.0.1 port 0");
  if (listen(listener, SOMAXCONN) != 0) err(1, "listen");
  if (getsockname(listener, (struct sockaddr *)address, &length) != 0) err(1, "getsockname");
  return listener;
}

static void print_steps(const struct step *steps, int most) {
  for (int i = 0; i < most && steps[i].what != NOTHING; i++) {
    printf("%s %s %s = %d", i > 0 ? "," : "", steps[i].end == CLIENT ? "client" : "server",
           WHAT[steps[i].what], steps[i].expected);
  }
}

static int list(void) {
  for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++) {
    printf("%s:", MODES[i].name);
    print_steps(MODES[i].before, 2);
    printf(" |");
    print_steps(MODES[i].steps, STEPS);
    printf(" | %d %d\n", MODES[i].closing, MODES[i].seeing);
  }
  return 0;
}

static const struct mode *find(const char *name) {
  for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++) {
    if (strcmp(MODES[i].name, name) == 0) return &MODES[i];
  }
  errx(2, "no mode %s; --list shows them", name);
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--list") == 0) return list();
  bool processes = argc == 3 && strcmp(argv[2], "--processes") == 0;
  if (argc != 2 && !processes) errx(2, "usage: teardown MODE [--processes] | teardown --list");
  const struct mode *mode = find(argv[1]);
  struct sockaddr_in address;
  int listener = listen_plainly(&address);
  struct shared *shared = NULL;
  if (processes) {
    shared = share(mode, listener);
  } else {
    start_sleeper();
  }
  printf("%d\n", ntohs(address.sin_port));
  say_ready();
  for (int64_t cycles; (cycles = next_round()) > 0;) {
    struct record *records = calloc((size_t)cycles, sizeof *records);
    if (records == NULL) err(1, "calloc");
    for (int64_t i = 0; i < cycles; i++) {
      if (processes) {
        two_processes(mode, shared, &address, &records[i]);
      } else {
        one_thread(mode, listener, &address, &records[i]);
      }
    }
    if (fwrite(records, sizeof *records, (size_t)cycles, stdout) != (size_t)cycles) {
      err(1, "write to stdout");
    }
    flush_line();
    free(records);
  }
}
