#!/bin/sh
# Builds the addon with the headers that Node was installed with, where they are of its version: node-gyp would download them.
#
# usage: npm run build:native [-- NODE-GYP ARGUMENTS]. A `nodedir` of npm's settings goes first.
set -eu

own=$(node -p "require('node:path').resolve(process.execPath, '../..')")
version() { sed -n "s/^#define NODE_$1_VERSION //p" "$own/include/node/node_version.h" 2>/dev/null; }
if [ -z "${npm_config_nodedir:-}" ] && [ "v$(version MAJOR).$(version MINOR).$(version PATCH)" = "$(node --version)" ]; then
  set -- "--nodedir=$own" "$@"
fi
exec node-gyp configure build --release --loglevel=error "$@"
