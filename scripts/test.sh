#!/usr/bin/env bash
# npm test: sets up what is missing, builds, runs every layer of docs/testing.md. The last line is the sum over all of them:
#   N passed, N failed[, N skipped]
# What cannot be built or dies counts as a failure. Exit code 0 only if nothing failed.
#   npm test -- <layer> ...   only these (scripts/layers.mjs has their names)
set -u
export HOLDFAST_BEGAN=${HOLDFAST_BEGAN:-$(date +%s)}
cd "$(dirname "$0")/.." || exit 1
results=build-native/results
mkdir -p "$results"
# broken <what>: nothing more can be tried.
broken() {
  printf 'test: %s\n0 passed, 1 failed\n' "$*"
  exit 1
}

bash scripts/setup.sh --tests || broken 'setup failed'
bash scripts/build.sh || broken 'the package does not build'
export HOLDFAST_BUILT=1  # vitest does not build dist/ again, which other layers run
printf 'test: building the native tests\n'
{ cmake -S . -B build-native -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  && cmake --build build-native -j "$(nproc 2>/dev/null || echo 1)"; } </dev/null >"$results/cmake.log" 2>&1 \
  || { tail -n 60 "$results/cmake.log"; broken 'the native tests do not build'; }
node scripts/run-layers.mjs "$@" </dev/null 2>&1 | tee "$results/all.log"
code=${PIPESTATUS[0]}
counts=$(sed -n 's/^layers: \(.*\)$/\1/p' "$results/all.log" | tail -n 1)
[ -n "$counts" ] || broken 'the layers did not run to their end'
printf '%s\n' "$counts" | sed 's/, 0 skipped$//'
exit "$code"
