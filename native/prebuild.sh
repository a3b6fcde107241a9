#!/bin/sh
# Fills prebuilds/linux-ARCH with what the package carries for glibc: the addon, and the C programs that `bench` starts.
# This machine's are copied from build/Release, so that what was tested is what is shipped; the other's are cross-compiled.
#
# usage: native/prebuild.sh [x64 | arm64]...     both, if none is named
set -eu

cd "$(dirname "$0")/.."
host=$(node -p process.arch)
[ $# -gt 0 ] || set -- x64 arm64

for arch; do
  case $arch in
    x64) target=x86_64-linux-gnu ;;
    arm64) target=aarch64-linux-gnu ;;
    *)
      echo "prebuild: x64 or arm64, not $arch" >&2
      exit 2
      ;;
  esac

  if [ "$arch" = "$host" ]; then
    tree=. strip=strip
    [ -e build/Release/closewait.node ] || npm run --silent build:native
  else
    tree=build/linux-$arch strip=$target-strip
    if ! command -v $target-g++ >/dev/null; then
      echo "prebuild: no $target-g++ for $arch; Debian has it in g++-$(echo $target | tr _ -)" >&2
      exit 1
    fi
    # node-gyp builds where binding.gyp is; a tree of links is a second place.
    mkdir -p $tree
    for part in binding.gyp package.json native src test; do ln -sfn "../../$part" $tree/$part; done
    (
      cd $tree
      export CC=$target-gcc CXX=$target-g++ AR=$target-ar
      sh native/build.sh --arch="$arch"
    ) >&2
  fi

  place=prebuilds/linux-$arch
  mkdir -p "$place"
  for product in closewait.node crowd teardown; do
    # Renamed into place, from where nobody packs: who packs or loads it meanwhile has the old one or the new one, whole.
    $strip -o "build/$arch-$product" "$tree/build/Release/$product"
    mv "build/$arch-$product" "$place/$product"
  done
done
