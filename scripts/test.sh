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
# Layers that take longer than an ordinary run should: said, and counted.
later() {
  for layer in "$@"; do printf 'test: %s: skipped: takes long; HOLDFAST_ALL=1 npm test runs it\n' "$layer"; done
  skipped=$((skipped + $#))
}
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

# run_counted <how its output is counted> <log> <command…>
run_counted() {
  local how=$1 log=$2 code counts
  shift 2
  "$@" </dev/null 2>&1 | tee "$log"
  code=${PIPESTATUS[0]}
  counts=$(node scripts/count-tests.mjs "$how" "$log" "$code") || { broken "no result: $*"; return; }
  # shellcheck disable=SC2086
  add $counts
}

# Damage, kills and fuzzing: docs/testing.md says what each can see. HOLDFAST_SHARE=10 does a tenth of the counts.
damage_and_kills() {
  local share=${HOLDFAST_SHARE:-4} seed=${HOLDFAST_SEED:-1}
  printf 'test: damage\n'
  run_counted doctest "$results/damage.log" build-native/damage_tests --count $((5000 / share)) --seed "$seed"
  run_counted doctest "$results/damage-controls.log" build-native/damage_tests --controls
  printf 'test: kill storm\n'
  run_counted doctest "$results/storm.log" node test/storm/storm.mjs --kills $((1000 / share)) --seed "$seed" --lanes 4
  run_counted doctest "$results/storm-points.log" node test/storm/storm.mjs --points
  run_counted doctest "$results/storm-controls.log" node test/storm/storm.mjs --controls
  printf 'test: readers storm\n'
  run_counted summary "$results/readers.log" build-native/readers_storm --kills $((240 / share)) --seed "$seed"
  run_counted summary "$results/readers-controls.log" build-native/readers_storm --controls
}

simulator() {
  printf 'test: crash simulator\n'
  run_counted summary "$results/simulator.log" build-native/crash_simulator
}

sanitizers() {
  printf 'test: native tests under sanitizers\n'
  run_counted doctest "$results/address.log" bash scripts/sanitize.sh address 400
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

# Crash states of the real media (docs/testing.md), with what native_tests has built.
crash_states() {
  printf 'test: crash states of the real media\n'
  run_counted summary "$results/crash-states.log" build-native/crash/crash_explorer
}

# In guests of qemu, on what scripts/build.sh and native_tests have built. Says itself why where it cannot run.
guest_tests() {
  printf 'test: guests whose power is cut\n'
  run_counted summary "$results/vm.log" node test/vm/run.mjs
}

fuzzing() {
  local share=${HOLDFAST_SHARE:-4} seed=${HOLDFAST_SEED:-1}
  printf 'test: fuzzing\n'
  run_counted doctest "$results/fuzz-replay.log" build-native/pool_fuzz_replay test/fuzz/corpus $((2000 / share)) "$seed"
  run_counted doctest "$results/fuzz.log" bash scripts/fuzz.sh 20
}

mkdir -p "$results"
bash scripts/setup.sh --tests || { broken 'setup failed'; finish; }
bash scripts/build.sh || { broken 'the package does not build'; finish; }
native_tests
simulator
crash_states
damage_and_kills
typescript_tests
if [ -n "${HOLDFAST_ALL:-}" ]; then
  sanitizers
  fuzzing
  guest_tests
else
  later 'the sanitizers' 'fuzzing' 'the guests whose power is cut'
fi
finish
