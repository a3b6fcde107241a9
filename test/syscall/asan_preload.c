// Preloaded beside the sanitizers: programs that start no Node with the addon start without any of
// the three. Some hang at their exit otherwise (gdb, capinfos, psql, chromium: a lock of the C
// library that a destructor takes twice).

#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

static const char *const passing_on[] = {
    "node",    "npm",     "npx",     "env",     "sh",     "bash",   "dash",   "setpriv",
    "unshare", "nsenter", "prlimit", "timeout", "strace", "script", "refuse",
};

static int passes_on(const char *file) {
  // A package's command is a script for node.
  if (strstr(file, "node_modules/")) return 1;
  const char *slash = strrchr(file, '/');
  const char *name = slash ? slash + 1 : file;
  for (size_t i = 0; i < sizeof passing_on / sizeof *passing_on; i++) {
    if (strcmp(name, passing_on[i]) == 0) return 1;
  }
  return 0;
}

// Between fork and exec of a process with threads: nothing is allocated, no lock is taken.
int execvp(const char *file, char *const argv[]) {
  static char none[] = "LD_PRELOAD=";
  if (!passes_on(file)) {
    for (char **each = environ; *each != NULL; each++) {
      if (strncmp(*each, none, strlen(none)) == 0) *each = none;
    }
  }
  int (*next)(const char *, char *const[]) = dlsym(RTLD_NEXT, "execvp");
  return next(file, argv);
}
