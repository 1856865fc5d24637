#!/usr/bin/env bash
# Builds the native tests and the simulator with sanitizers and runs what they are for. Prints results as those programs do.
#   sanitize.sh address [seeds]   AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer: all native tests, a sample of simulator seeds
#   sanitize.sh thread            ThreadSanitizer: the concurrent native tests
# Exit code 0 only if all of it was built and passed.
set -u
cd "$(dirname "$0")/.." || exit 1
which=${1:-address} seeds=${2:-300}
case $which in
  address) sanitizers=address,undefined targets='native_tests crash_simulator' ;;
  thread) sanitizers=thread targets=native_tests ;;
  *) printf 'usage: sanitize.sh address|thread [seeds]\n' >&2; exit 2 ;;
esac
build=build-native/$which
mkdir -p "$build"
# -O1: compiles in half the time; what is slow here are the checks.
# shellcheck disable=SC2086
{ cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS='-O1 -g1' -DHOLDFAST_SANITIZE=$sanitizers \
  && cmake --build "$build" -j "$(nproc 2>/dev/null || echo 1)" --target $targets; } </dev/null >"$build/build.log" 2>&1 \
  || { tail -n 40 "$build/build.log"; printf 'sanitize: the %s build failed\n' "$which"; exit 1; }
export UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1 ASAN_OPTIONS=detect_stack_use_after_return=0
code=0
if [ "$which" = thread ]; then
  "$build/native_tests" --test-case='concurrent*,commits that wait together*' || code=1
else
  HOLDFAST_STRESS_MS=500 "$build/native_tests" --test-case-exclude='100,000 keys*,*70 % live*' || code=1
  "$build/crash_simulator" --seeds "$seeds" || code=1
fi
exit $code
