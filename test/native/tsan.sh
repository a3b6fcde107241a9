#!/bin/sh
# Runs test/native/os_test.cc under ThreadSanitizer and memcheck, and the programs of native/reference under memcheck. Fails
# with any report; exits 3 without valgrind.
#
# usage: test/native/tsan.sh [ROUNDS]
#
# Blind to: what the kernel reads and writes, which ThreadSanitizer cannot see, the system call being an instruction of our
# own; and helgrind is no help, since it takes an atomic for a plain variable.
set -eu

root=$(git rev-parse --show-toplevel)
rounds=${1:-2000}
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT INT TERM
cd "$root"
plain='-O1 -g -fno-omit-frame-pointer -Wall -Wextra -Wno-missing-field-initializers'

build() { # OUTPUT FLAGS: os_test with native/os, but for the tables that the build generates
  output=$1
  shift
  for source in actor bpf call forget mapping perf sequence spawn; do
    c++ -std=c++20 $plain "$@" -c "native/os/$source.cc" -o "$built/$source.o"
  done
  # Never instrumented: see sigaction in os_test.cc.
  c++ -std=c++20 $plain -c native/os/invoke.cc -o "$built/invoke.o"
  c++ -std=c++20 $plain "$@" test/native/os_test.cc "$built"/*.o -o "$output" -pthread
}

echo "== os_test by itself"
build "$built/os_test"
"$built/os_test" "$((rounds * 10))"

echo "== os_test, ThreadSanitizer"
build "$built/os_test_tsan" -fsanitize=thread
TSAN_OPTIONS=exitcode=66 "$built/os_test_tsan" "$rounds"

command -v valgrind >/dev/null || { echo "valgrind: not installed" >&2; exit 3; }
# A thread that sleeps until the process ends has "possibly lost" its stack: not counted.
memcheck() {
  valgrind -q --error-exitcode=66 --leak-check=full --show-leak-kinds=definite,indirect \
    --errors-for-leak-kinds=definite,indirect "$@"
}

echo "== os_test, memcheck"
memcheck --child-silent-after-fork=yes "$built/os_test" "$((rounds / 10))"

for program in lifecycle tcpinfo handoff dump hold crowd teardown; do
  cc $plain "native/reference/$program.c" -o "$built/$program" -pthread
done
for program in lifecycle tcpinfo handoff dump; do
  echo "== $program, memcheck"
  echo 10 | memcheck "$built/$program" >/dev/null
done
echo "== hold and crowd, memcheck"
memcheck "$built/hold" 4 close-wait </dev/null >/dev/null
echo 1 | memcheck "$built/crowd" 4 >/dev/null
for mode in $("$built/teardown" --list | sed "s/:.*//"); do
  for ends in '' --processes; do
    echo "== teardown $mode $ends, memcheck"
    echo 5 | memcheck --trace-children=yes "$built/teardown" "$mode" $ends >/dev/null
  done
done
