#!/usr/bin/env bash
# npm run test:long -- --minutes N: every layer that has new seeds to try goes on with them, N minutes (60) in all. Needs what npm test
# has built, and builds what has changed since. The last line is the sum: layers: N passed, N failed, N skipped.
set -u
cd "$(dirname "$0")/.." || exit 1
minutes=60
[ "${1:-}" = --minutes ] && minutes=${2:-60}
results=build-native/results
mkdir -p "$results"
{ cmake -S . -B build-native -DCMAKE_BUILD_TYPE=RelWithDebInfo && cmake --build build-native -j "$(nproc)" \
  && bash scripts/sanitize.sh address build && bash scripts/sanitize.sh thread build; } </dev/null \
  >"$results/cmake.log" 2>&1 || { tail -n 40 "$results/cmake.log"; printf 'layers: 0 passed, 1 failed\n'; exit 1; }
exec node scripts/run-layers.mjs --minutes "$minutes"
