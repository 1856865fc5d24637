#!/usr/bin/env bash
# Builds tests with sanitizers and runs what they are for.
#   sanitize.sh address [share]        AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer: the native tests, the fuzzer's corpus with 500
#                                      mutations, 600 simulator seeds; share 4: a quarter of the mutations and seeds, and not the ten
#                                      slowest of the native tests, most of full pools, which take more than half of the time; share
#                                      sample: 125 mutations and 150 seeds without the native tests, which take most of the time to compile
#   sanitize.sh thread                 ThreadSanitizer: the concurrent tests
#   sanitize.sh address|thread build   only builds
# HOLDFAST_JOBS=N compiles N files at once.
# Each also runs a control: a leak, a data race planted in the engine, which must be found. The last line of each program is
# "<program>: N passed, N failed"; exit code 0 only if all of it was built and passed.
set -u
cd "$(dirname "$0")/.." || exit 1
which=${1:-address} share=${2:-1}
case $which in
  address) sanitizers=address,undefined targets='native_tests crash_simulator pool_fuzz_replay' ;;
  thread) sanitizers=thread targets=concurrent_tests ;;
  *) printf 'usage: sanitize.sh address|thread [share|sample|build]\n' >&2; exit 2 ;;
esac
[ "$share" = sample ] && targets=${targets#native_tests }
build=build-native/$which
mkdir -p "$build" && rm -f "$build/built"
# -O1: compiles in half the time; what is slow here are the checks.
# shellcheck disable=SC2086
{ cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS='-O1 -g1' -DHOLDFAST_SANITIZE=$sanitizers \
  && cmake --build "$build" -j "${HOLDFAST_JOBS:-$(nproc 2>/dev/null || echo 1)}" --target $targets; } </dev/null >"$build/build.log" 2>&1 \
  || { tail -n 40 "$build/build.log"; printf 'sanitize: 0 passed, 1 failed\n'; exit 1; }
date -u +%FT%TZ >"$build/built"  # layers.mjs goes on with what is built
[ "$share" = build ] && exit 0
export UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1 ASAN_OPTIONS=detect_stack_use_after_return=0:exitcode=99
code=0

# part <name> <command...>: a doctest program; its cases count.
part() {
  local name=$1 log=$build/$1.log
  shift
  "$@" </dev/null 2>&1 | tee "$log"
  local ended=${PIPESTATUS[0]}
  local counts skipped
  counts=$(sed -n 's/.*test cases: *[0-9]* | *\([0-9]*\) passed | *\([0-9]*\) failed .*/\1 \2/p' "$log" | tail -n 1)
  skipped=$(grep -ac 'MESSAGE: skipped: ' "$log")
  # shellcheck disable=SC2086
  set -- ${counts:-0 1}
  [ "$ended" -ne 0 ] && [ "$2" -eq 0 ] && set -- "$1" 1
  [ "$2" -eq 0 ] || code=1
  printf '%s: %s passed, %s failed, %s skipped\n' "$name" "$(($1 - skipped))" "$2" "$skipped"
}

# control <planted bug> <what must be said> <command...>: the sanitizer must find it.
control() {
  local bug=$1 says=$2
  shift 2
  HOLDFAST_PLANTED_BUG=$bug "$@" </dev/null >"$build/control-$bug.log" 2>&1
  if [ $? -ne 0 ] && grep -aq "$says" "$build/control-$bug.log"; then
    printf 'control %s: caught: %s\n' "$bug" "$(grep -am1 "$says" "$build/control-$bug.log")"
    printf 'control-%s: 1 passed, 0 failed\n' "$bug"
  else
    printf 'control %s: NOT CAUGHT\ncontrol-%s: 0 passed, 1 failed\n' "$bug" "$bug"
    code=1
  fi
}

native_tests_but_for_the_slowest() {
  local slowest
  slowest='*85 % live*,*70 % live*,*random work against*,*keys of 1 KiB overwritten*,*opening and closing 1*'
  slowest=$slowest',*takes new things in its place,*the tail to replay is bounded*,*whatever refused commits*'
  [ "$share" -gt 1 ] || slowest=none
  HOLDFAST_STRESS_MS=500 part native-tests "$build/native_tests" --test-case-exclude="$slowest"
}

if [ "$which" = thread ]; then
  export HOLDFAST_STRESS_MS=${HOLDFAST_STRESS_MS:-4000}
  part concurrent-tests "$build/concurrent_tests"
  HOLDFAST_STRESS_MS=500 control index-lock-left-out 'ThreadSanitizer: data race' "$build/concurrent_tests"
else
  if [ "$share" = sample ]; then
    share=4
    printf 'skipped: the native tests take longer than there is time; npm test -- address-sanitizer runs them\nnative-tests: 0 passed, 0 failed, 1 skipped\n'
  else
    native_tests_but_for_the_slowest
  fi
  part fuzz-replay "$build/pool_fuzz_replay" test/fuzz/corpus "$((500 / share))" 7
  "$build/crash_simulator" --seeds "$((600 / share))" --from 900000 --jobs 1 || code=1
  control memory-leaked 'LeakSanitizer: detected memory leaks' "$build/pool_fuzz_replay" test/fuzz/corpus 1 7
fi
exit $code
