#!/bin/sh
# Runs the tests with the addon under AddressSanitizer and UndefinedBehaviorSanitizer, in a copy of the checkout: the
# release build beside it is not touched. Fails if a test fails, or if there is any report, in whichever process.
#
# usage: test/syscall/asan.sh [AVA ARGUMENTS]
#
# Blind to: leaks (Node itself leaves memory to the end of the process, so detect_leaks is off), and what the kernel writes:
# the system-call instruction passes no interceptor.
set -eu

root=$(git rev-parse --show-toplevel)
copy=$(mktemp -d)
# Tests become a plain user, who reads the package and may have something to report.
chmod 755 "$copy"
mkdir -m 1777 "$copy/reports"
trap 'rm -rf "$copy"' EXIT INT TERM
cd "$root"
git ls-files -coz --exclude-standard | xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' sh |
  tar --null -T - -cf - | tar -xf - -C "$copy"
ln -s "$root/node_modules" "$copy/node_modules"
cd "$copy"

flags='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g'
CFLAGS=$flags CXXFLAGS=$flags LDFLAGS=$flags npx node-gyp configure build --release --loglevel=error
npx tsc

# A Node that carries the sanitizers takes three times as long to start: two dozen at once outlive the tests' deadlines, so the
# tests of a file go one after the other.
cc -shared -fPIC -o asan_preload.so test/syscall/asan_preload.c
preload="$(cc -print-file-name=libasan.so) $(cc -print-file-name=libubsan.so) $copy/asan_preload.so"
# What is freed stays in quarantine, by default 256 MB of it: soak would take that for a leak.
common="detect_leaks=0:quarantine_size_mb=8:log_path=$copy/reports/report:log_exe_name=1"
status=0
env LD_PRELOAD="$preload" ASAN_OPTIONS="$common" UBSAN_OPTIONS="$common:print_stacktrace=1" \
  node node_modules/ava/entrypoints/cli.mjs --serial --timeout 10m "$@" || status=$?

for report in "$copy"/reports/*; do
  [ -e "$report" ] || continue
  cat "$report" >&2
  status=1
done
exit $status
