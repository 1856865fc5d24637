#!/usr/bin/env bash
# npm test: sets up what is missing, builds, runs every test. The last line is the sum over all runners:
#   N passed, N failed[, N skipped]
# A runner that cannot be built or dies counts as a failure. Exit code 0 only if nothing failed.
set -u
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0 skipped=0
results=build-native/results

finish() {
  local line="$passed passed, $failed failed"
  [ "$skipped" -gt 0 ] && line="$line, $skipped skipped"
  printf '%s\n' "$line"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
  exit $?
}
broken() { printf 'test: %s\n' "$*"; failed=$((failed + 1)); }
add() { passed=$((passed + $1)); failed=$((failed + $2)); skipped=$((skipped + $3)); }

native_tests() {
  printf 'test: native tests\n'
  { cmake -S . -B build-native -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    && cmake --build build-native -j "$(nproc 2>/dev/null || echo 1)"; } </dev/null >"$results/cmake.log" 2>&1 \
    || { tail -n 60 "$results/cmake.log"; broken 'the native tests do not build'; return; }
  build-native/native_tests </dev/null 2>&1 | tee "$results/native.log"
  local code=${PIPESTATUS[0]} counts
  counts=$(node scripts/count-tests.mjs doctest "$results/native.log" "$code") || { broken 'the native tests died'; return; }
  # shellcheck disable=SC2086
  add $counts
}

# counted <name> <command…>: a runner whose last line is doctest's summary.
counted() {
  local name=$1
  shift
  printf 'test: %s\n' "$name"
  local log="$results/${name// /-}.log" code counts
  "$@" </dev/null >"$log" 2>&1
  code=$?
  grep -vE 'mutation [0-9]+, seed' "$log" | tail -n 40
  counts=$(node scripts/count-tests.mjs doctest "$log" "$code") || { broken "$name died"; return; }
  # shellcheck disable=SC2086
  add $counts
}

# Damage, kills and fuzzing: docs/testing.md says what each can see. HOLDFAST_SHARE=10 does a tenth of the counts.
storm_tests() {
  local share=${HOLDFAST_SHARE:-1}
  counted 'damage' build-native/damage_tests --count $((5000 / share)) --seed "${HOLDFAST_SEED:-1}"
  counted 'damage controls' build-native/damage_tests --controls
  counted 'kill storm' node test/storm/storm.mjs --kills $((1000 / share)) --seed "${HOLDFAST_SEED:-1}" --lanes 4
  counted 'kills at named points' node test/storm/storm.mjs --points
  counted 'kill storm controls' node test/storm/storm.mjs --controls
  counted 'fuzz replay' build-native/pool_fuzz_replay test/fuzz/corpus $((2000 / share)) "${HOLDFAST_SEED:-1}"
  counted 'fuzz' bash scripts/fuzz.sh 20
}

typescript_tests() {
  printf 'test: TypeScript tests\n'
  rm -f "$results/vitest.json"
  npx --no-install vitest run --reporter=default --reporter=json --outputFile.json="$results/vitest.json" </dev/null 2>&1
  local code=$? counts
  counts=$(node scripts/count-tests.mjs vitest "$results/vitest.json" "$code") || { broken 'vitest died'; return; }
  # shellcheck disable=SC2086
  add $counts
}

mkdir -p "$results"
bash scripts/setup.sh --tests || { broken 'setup failed'; finish; }
bash scripts/build.sh || { broken 'the package does not build'; finish; }
native_tests
storm_tests
typescript_tests
finish
