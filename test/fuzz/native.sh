#!/bin/sh
# Fuzzes each call of the addon that takes bytes: libFuzzer inside Node, on an addon that clang built with AddressSanitizer,
# UndefinedBehaviorSanitizer and the marks that tell libFuzzer which branches an input took. What is called is called as
# JavaScript does it: directly, by an actor, and by its gate, in user and network namespaces of its own and in an empty
# directory. At the end: what part of native/ the inputs reached.
#
# usage: test/fuzz/native.sh [RUNS] [CALL]...     5,000 runs (50 of spawn) of each call; `npm run build:ts` before. Fails with
# a finding, whose input is kept and named. Exits 3 without clang or without user namespaces.
set -eu

root=$(git rev-parse --show-toplevel)
runs=${1:-5000}
[ $# -eq 0 ] || shift
cd "$root"

missing() { echo "native.sh: $1" >&2; exit 3; }
# Debian's come with a version in their names too, and then without the other.
tool() { ls /usr/lib/llvm-*/bin/"$1" 2>/dev/null | sort -V | tail -n 1; }
clang=$(tool clang++)
[ -n "$clang" ] || missing "no clang; Debian has it in clang and libclang-rt-dev"
runtime() { "$clang" -print-file-name="libclang_rt.$1-$(uname -m).$2"; }
driver=$(runtime fuzzer_no_main a)
[ -e "$driver" ] || missing "no libFuzzer; Debian has it in libclang-rt-dev"
unshare --user --map-root-user --net true || missing "no user and network namespaces"

built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT INT TERM
mkdir "$built/cwd"
node native/os/constants.mjs "$built" src/syscall/constants.ts
sanitizers='-fsanitize=address,undefined -fno-sanitize-recover=undefined -shared-libsan -fprofile-instr-generate'
for source in native/os/*.cc native/glue/*.cc test/fuzz/native.cc; do
  "$clang" -std=c++20 -O1 -g -fPIC -fvisibility=hidden -fno-omit-frame-pointer -fno-rtti -fno-exceptions $sanitizers \
    -fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp,indirect-calls -fcoverage-mapping -Wno-c99-designator -Wno-c++2b-extensions \
    -DNAPI_VERSION=9 -DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS -DNODE_ADDON_API_DISABLE_DEPRECATED -I"$built" \
    -I"$(node -p "require('node:path').resolve(process.execPath, '../../include/node')")" \
    -I"$(node -p "require('node-addon-api').include_dir")" \
    -c "$source" -o "$built/$(basename "$(dirname "$source")")-$(basename "$source").o"
done
# The marks are handed to the libFuzzer in here, and not to the stand-ins that AddressSanitizer has for it.
"$clang" -shared $sanitizers "$built"/*.o "$driver" -Wl,-Bsymbolic -o "$built/native.node"

[ $# -gt 0 ] || set -- $(node dist/test/fuzz/native.js)
all=0
failed=
for call; do
  status=0
  # A start takes as long as five hundred of the others.
  [ "$call" = spawn ] && times=$((runs / 100 + 1)) || times=$runs
  LLVM_PROFILE_FILE="$built/$call.profraw" LD_PRELOAD=$(runtime asan so) ASAN_OPTIONS=detect_leaks=0 \
    UBSAN_OPTIONS=print_stacktrace=1 unshare --user --map-root-user --net sh -c 'ip link set lo up; cd "$1"; shift; exec "$@"' \
    sh "$built/cwd" node "$root/dist/test/fuzz/native.js" "$built/native.node" "$call" \
    -runs="$times" -max_len=600 -len_control=10 -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 -print_funcs=0 -detect_leaks=0 \
    -artifact_prefix="${TMPDIR:-/tmp}/closewait-$call-" >"$built/$call.log" 2>&1 || status=$?
  if [ "$status" != 0 ]; then
    cat "$built/$call.log" >&2
    failed="$failed $call"
    continue
  fi
  ran=$(sed -n 's/^stat::number_of_executed_units: //p' "$built/$call.log")
  all=$((all + ran))
  echo "$call: $ran executions, $(sed -nE 's/.*(INITED|DONE) +cov: ([0-9]+).*/\2/p' "$built/$call.log" | tr '\n' ' ' | sed 's/ $//; s/ / -> /') edges"
done
echo "$all executions"
[ -z "$failed" ] || { echo "native.sh: findings in$failed" >&2; exit 1; }
profdata=$(tool llvm-profdata)
[ -n "$profdata" ] || missing "coverage is not told: no llvm-profdata; Debian has it in llvm"
"$profdata" merge -sparse "$built"/*.profraw -o "$built/profile"
"$(tool llvm-cov)" report "$built/native.node" -instr-profile="$built/profile" -show-branch-summary=false native/os native/glue
