#!/usr/bin/env bash
# npm run test:long -- --minutes N: the layers whose states are without end go on with new seeds for N minutes (60), and what is too slow
# for every test run is run once. Needs what npm test has built. The last line is the sum: N passed, N failed.
set -u
cd "$(dirname "$0")/.." || exit 1
minutes=60
[ "${1:-}" = --minutes ] && minutes=${2:-60}
results=build-native/results
passed=0 failed=0
mkdir -p "$results"

layer() {  # layer <how its output is counted> <name> <command...>
  local how=$1 name=$2 code counts
  shift 2
  printf 'test:long: %s\n' "$name"
  "$@" </dev/null 2>&1 | tee "$results/long-$name.log"
  code=${PIPESTATUS[0]}
  if counts=$(node scripts/count-tests.mjs "$how" "$results/long-$name.log" "$code"); then
    # shellcheck disable=SC2086
    set -- $counts
    passed=$((passed + $1)) failed=$((failed + $2))
  else
    failed=$((failed + 1))
  fi
}

{ cmake -S . -B build-native -DCMAKE_BUILD_TYPE=RelWithDebInfo && cmake --build build-native -j "$(nproc)"; } </dev/null \
  >"$results/cmake.log" 2>&1 || { tail -n 40 "$results/cmake.log"; exit 1; }
layer doctest threads bash scripts/sanitize.sh thread
layer doctest addresses bash scripts/sanitize.sh address 5000
layer summary simulator build-native/crash_simulator --minutes "$minutes"
layer summary crash-states build-native/crash/crash_explorer --minutes "$minutes"
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
