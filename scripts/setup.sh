#!/usr/bin/env bash
# Makes sure of everything a build needs: compiler, libraries, npm packages. Run by start.sh and test.sh, safe to repeat.
#   setup.sh           what running needs
#   setup.sh --tests   and what the native tests need
# As root on a machine with apt it installs what is missing; else it says what is missing. Without libpmemobj it goes
# on with the file medium; without a compiler it cannot.
set -u
cd "$(dirname "$0")/.." || exit 1
tests=0
[ "${1:-}" = --tests ] && tests=1
say() { printf 'setup: %s\n' "$*"; }
die() { say "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
header() { has c++ && printf '#include <%s>\n' "$1" | c++ -std=c++17 -fsyntax-only -x c++ - >/dev/null 2>&1; }
compiler() { has c++ && printf 'int main() {}\n' | c++ -std=c++20 -fsyntax-only -x c++ - >/dev/null 2>&1; }

has node || die "node is not installed: install Node.js 20 or newer"
has npm || die "npm is not installed: it comes with Node.js"
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || die "Node.js $(node --version) is too old: 20 or newer is needed"

missing() {  # prints the Debian packages that are missing
  compiler || echo g++
  has make || echo make
  has python3 || echo python3
  header libpmemobj.h || echo libpmemobj-dev
  header xxhash.h || echo libxxhash-dev
  if [ $tests = 1 ]; then
    header doctest/doctest.h || echo doctest-dev
    has cmake || echo cmake
    has clang-format-14 || echo clang-format-14  # one test looks how C++ is laid out; without it it is skipped
    has chromium || has chromium-browser || echo chromium  # one test looks at the benchmark's page; without it it is skipped
  fi
}

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  local log
  log=$(mktemp)
  # The lists of a fresh machine are empty or old; an install that works without them saves their download.
  if ! apt-get install -y --no-install-recommends "$@" </dev/null >"$log" 2>&1; then
    { apt-get update && apt-get install -y --no-install-recommends "$@"; } </dev/null >>"$log" 2>&1
  fi
  local code=$?
  [ $code = 0 ] || { say "apt-get failed:"; tail -n 5 "$log" | sed 's/^/setup:   /'; }
  rm -f "$log"
  return $code
}

packages=$(missing | tr '\n' ' ')
if [ -n "$packages" ]; then
  if [ "$(id -u)" = 0 ] && has apt-get; then
    say "installing with apt: $packages"
    # shellcheck disable=SC2086
    install_packages $packages || for package in $packages; do install_packages "$package"; done
  else
    say "missing: $packages(not root, or no apt: install them yourself; going on with what is there)"
  fi
fi
# What single layers of the tests want: without it such a layer says "skipped: why". The guests of test/vm fetch their tools themselves.
if [ $tests = 1 ] && ! bash scripts/fuzz.sh --clang >/dev/null && [ "$(id -u)" = 0 ] && has apt-get; then
  say "installing with apt: clang-14 libclang-rt-14-dev (for libFuzzer)"
  install_packages clang-14 libclang-rt-14-dev || say "no clang: libFuzzer will be left out"
fi
if [ $tests = 1 ] && header libpmemobj.h && ! bash scripts/pmdk-debug.sh --where >/dev/null && [ "$(id -u)" = 0 ] && has apt-get; then
  say "installing with apt: libpmemobj1-debug libpmem1-debug"
  install_packages libpmemobj1-debug libpmem1-debug || say "no debug build of libpmemobj: one layer of the tests will be left out"
fi
compiler || die "no C++20 compiler: install g++ (Debian: apt-get install g++ make python3)"
has make || die "make is not installed (Debian: apt-get install make)"
has python3 || die "python3 is not installed; node-gyp needs it (Debian: apt-get install python3)"
header libpmemobj.h || say "libpmemobj is not here (Debian: libpmemobj-dev): going on with the file medium only"
header xxhash.h || say "xxhash.h is not here (Debian: libxxhash-dev): using the slower built-in checksum"
if [ $tests = 1 ]; then
  has cmake || die "cmake is not installed; the native tests need it (Debian: apt-get install cmake)"
  header doctest/doctest.h || die "doctest is not installed; the native tests need it (Debian: apt-get install doctest-dev)"
fi

# No package's install script is needed, and ours would build twice.
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say "installing npm packages"
  quiet="--ignore-scripts --include=dev --no-audit --no-fund --loglevel=error"
  # shellcheck disable=SC2086
  npm ci $quiet </dev/null >/dev/null 2>&1 || npm install --no-save $quiet </dev/null \
    || die "npm could not install the packages"
  touch node_modules/.package-lock.json
fi
say "ready: Node.js $(node --version), $(c++ -dumpfullversion 2>/dev/null | sed 's/^/c++ /')"
